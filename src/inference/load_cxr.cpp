#include "inference/load_cxr.h"

#include <fmt/format.h>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume/lungs.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"
#include "x2ctpa/imaging/xray/view_pair.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// A picture of a dataset, which is as the model was trained with it: (1, S, S).
at::Tensor picture_of_dataset(const fs::path& file, const DatasetInfo& info) {
  if (file.empty()) return missing_view(info.cxr_size);
  const auto picture = read_png(file);
  if (picture.size(0) != info.cxr_size || picture.size(1) != info.cxr_size) {
    throw Error(fmt::format(
        "{}: expected {} x {} pixels as the model was trained with, found {} x {}. The dataset was "
        "made with another preprocess.cxr_size.",
        file.string(), info.cxr_size, info.cxr_size, picture.size(1), picture.size(0)));
  }
  return picture.unsqueeze(0);
}

void read_pictures(const CxrItem& item, const DatasetInfo& info, CxrViews views,
                   const CxrOptions& given, LoadedCxr& cxr) {
  cxr.cxr = item.cxr;
  cxr.cxr_lateral = views == CxrViews::both ? item.cxr_lateral : fs::path();
  if (item.of_dataset) {
    cxr.pictures = picture_of_dataset(item.cxr, info);
    if (views == CxrViews::both)
      cxr.pictures = at::cat({cxr.pictures, picture_of_dataset(cxr.cxr_lateral, info)});
    return;
  }
  // A model of any pictures was trained on them as they are, whatever they show.
  const bool any_picture = info.source == PictureSource::picture;
  const CxrOptions as_is{.invert = CxrInvert::never, .trim = false, .refuse_not_chest = false};
  const CxrOptions& options = any_picture ? as_is : given;
  if (views == CxrViews::frontal) {
    const ModelXray xray = load_model_xray(item.cxr, info.cxr_size, options);
    cxr.pictures = xray.picture.unsqueeze(0);
    if (!any_picture) cxr.warnings = xray.warnings;
    return;
  }
  const ViewPair pair = load_view_pair({item.cxr, item.cxr_lateral}, info.cxr_size, options);
  cxr.pictures = pair.pictures(info.cxr_size);
  cxr.cxr = pair.files[0];
  cxr.cxr_lateral = pair.files[1];
  if (!any_picture) cxr.warnings = pair.warnings;
}

// The middle of the lungs of `ct`, or its own where none are found.
Vec3 middle_of(const Volume& ct, const CxrItem& item, std::vector<std::string>& warnings) {
  try {
    const Box box = segment_lungs(ct).box;
    Vec3 index{};
    for (size_t axis = 0; axis < 3; ++axis)
      index[axis] = 0.5 * double(box.first[2 - axis] + box.last[2 - axis]);
    return ct.point(index);
  } catch (const Error& e) {
    warnings.push_back(
        fmt::format("no lungs found in {}, so the volume is placed around its middle "
                    "({})",
                    item.reference.string(), e.what()));
    return ct.centre_mm();
  }
}

Grid typical_grid(const DatasetInfo& info, const Vec3& centre) {
  Vec3 extent{};
  for (size_t axis = 0; axis < 3; ++axis)
    extent[axis] = info.typical_spacing_mm[axis] * double(info.grid_dhw[2 - axis]);
  return centred_grid(info.grid_dhw, centre, extent);
}

}  // namespace

LoadedCxr load_cxr(const CxrItem& item, const DatasetInfo& info, CxrViews views,
                   const CxrOptions& options) {
  LoadedCxr cxr;
  read_pictures(item, info, views, options, cxr);
  if (!cxr.cxr.empty()) cxr.sha256 = sha256_of_file(cxr.cxr);
  if (!cxr.cxr_lateral.empty()) cxr.lateral_sha256 = sha256_of_file(cxr.cxr_lateral);
  if (item.reference.empty()) {
    cxr.place = typical_grid(info, {0, 0, 0});
    cxr.placed_by = "typical field of view around the origin";
    return cxr;
  }
  const Volume ct = oriented_to_lps(read_volume(item.reference));
  if (ct.size_dhw() == info.grid_dhw) {
    cxr.place = grid_of(ct);
    cxr.placed_by = "grid of the case's CT";
  } else if (item.of_dataset) {
    throw Error(fmt::format(
        "{}: its grid is not the model's; the dataset was made with another preprocess.grid",
        item.reference.string()));
  } else {
    cxr.place = typical_grid(info, middle_of(ct, item, cxr.warnings));
    cxr.placed_by = "typical field of view around the lungs of a reference CT";
  }
  return cxr;
}

}  // namespace x2ctpa
