#include "data/preprocess/case_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "x2ctpa/imaging/volume/lungs.h"
#include "x2ctpa/imaging/volume/resample.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

Box whole_box(const Volume& volume) {
  Box box;
  const auto size = volume.size_dhw();
  for (size_t axis = 0; axis < 3; ++axis) box.last[axis] = size[axis] - 1;
  return box;
}

// The volume at the origin, its spacing rounded to a micrometre. A box is a matter of voxels, and
// thresholds met exactly must not fall by the last digits in which two file formats differ.
Volume voxels_of(const Volume& volume) {
  Volume plain{volume.hu};
  for (size_t axis = 0; axis < 3; ++axis) {
    plain.spacing_mm[axis] = std::max(1e-3, std::round(volume.spacing_mm[axis] * 1e3) / 1e3);
  }
  return plain;
}

// Body and background of another modality as a CT would show them: a tenth of the range between
// the percentiles is the border, which body_box() looks for at -500 HU.
Volume as_if_ct(const Volume& volume, const CaseRecord& record) {
  Volume plain = voxels_of(volume);
  plain.hu = (plain.hu - record.low_value) * (5000 / (record.high_value - record.low_value)) - 1000;
  return plain;
}

// The lungs, found or given by the study's mask.
Box lung_box(Lungs lungs, PreparedCase& prepared) {
  prepared.record.lung_litres = lungs.litres;
  if (lungs.cut_off) prepared.record.warnings.push_back(lungs_cut_off);
  prepared.lungs = std::move(lungs);
  return prepared.lungs->box;
}

// The box of the study's own mask. That of lungs must have a plausible volume.
Box mask_box(const Volume& volume, const Study& study, const PreprocessOptions& options,
             PreparedCase& prepared) {
  const bool lungs = options.box == BoxRule::lungs;
  const Volume mask = run_step("mask-unreadable", "reading " + study.mask.string(),
                               [&] { return read_volume(study.mask, options.nifti_form); });
  Lungs inside = run_step("mask-unusable", "placing " + study.mask.string(),
                          [&] { return region_of_mask(volume, mask, lungs); });
  return lungs ? lung_box(std::move(inside), prepared) : inside.box;
}

Box choose_box(const Volume& volume, const Study& study, const PreprocessOptions& options,
               PreparedCase& prepared) {
  if (options.box == BoxRule::none) return whole_box(volume);
  if (options.box == BoxRule::body) {
    return run_step("no-body", "finding the body", [&] {
      return body_box(options.modality == Modality::ct ? voxels_of(volume)
                                                       : as_if_ct(volume, prepared.record));
    });
  }
  if (!study.mask.empty()) return mask_box(volume, study, options, prepared);
  if (options.box == BoxRule::mask) {
    throw RejectedStudy("no-mask",
                        fmt::format("study {} has no mask; preprocess.box is mask, so the "
                                    "manifest must name one in its column mask",
                                    study.id));
  }
  return lung_box(
      run_step("no-lungs", "finding the lungs", [&] { return segment_lungs(voxels_of(volume)); }),
      prepared);
}

// The axis-aligned target grid around the outer faces of `box`.
Grid target_grid(const Volume& volume, const Box& box, const PreprocessOptions& options) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  Vec3 low{infinite, infinite, infinite}, high{-infinite, -infinite, -infinite};
  for (int corner = 0; corner < 8; ++corner) {
    Vec3 index_xyz;
    for (size_t axis = 0; axis < 3; ++axis) {
      const size_t dhw = 2 - axis;
      index_xyz[axis] =
          (corner >> axis & 1) ? double(box.last[dhw]) + 0.5 : double(box.first[dhw]) - 0.5;
    }
    const Vec3 point = volume.point(index_xyz);
    for (size_t axis = 0; axis < 3; ++axis) {
      low[axis] = std::min(low[axis], point[axis]);
      high[axis] = std::max(high[axis], point[axis]);
    }
  }
  Vec3 centre, extent;
  for (size_t axis = 0; axis < 3; ++axis) {
    centre[axis] = (low[axis] + high[axis]) / 2;
    extent[axis] = options.field_of_view_mm.empty() ? high[axis] - low[axis] + 2 * options.margin_mm
                                                    : options.field_of_view_mm[axis];
  }
  return centred_grid({options.grid[0], options.grid[1], options.grid[2]}, centre, extent);
}

}  // namespace

Volume boxed(const Volume& volume, const Box& box, double margin_mm) {
  Volume part = volume;
  Vec3 first_xyz;
  for (size_t dim = 0; dim < 3; ++dim) {
    const auto margin = int64_t(std::llround(margin_mm / volume.spacing_mm[2 - dim]));
    const int64_t first = std::max<int64_t>(0, box.first[dim] - margin);
    const int64_t last = std::min(volume.hu.size(int64_t(dim)) - 1, box.last[dim] + margin);
    part.hu = part.hu.narrow(int64_t(dim), first, last - first + 1);
    first_xyz[2 - dim] = double(first);
  }
  part.origin_mm = volume.point(first_xyz);
  return part;
}

Volume on_dataset_grid(const Volume& volume, const Study& study, const PreprocessOptions& options,
                       double outside, PreparedCase& prepared) {
  const Box box = choose_box(volume, study, options, prepared);
  return run_step("ct-not-resampled", "resampling " + study.ct.string(), [&] {
    if (options.interpolation == GridInterpolation::published) {
      return zoom_as_published(boxed(volume, box, options.margin_mm),
                               {options.grid[0], options.grid[1], options.grid[2]});
    }
    const auto kernel = options.interpolation == GridInterpolation::cubic ? Interpolation::cubic
                                                                          : Interpolation::linear;
    return resample(volume, target_grid(volume, box, options), kernel, outside);
  });
}

}  // namespace x2ctpa
