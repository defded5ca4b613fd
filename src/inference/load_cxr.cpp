#include "inference/load_cxr.h"

#include <fmt/format.h>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume/lungs.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

at::Tensor picture_of(const CxrItem& item, const DatasetInfo& info, const CxrOptions& options,
                      std::vector<std::string>& warnings) {
  if (item.of_dataset) {
    const auto picture = read_png(item.cxr);
    if (picture.size(0) != info.cxr_size || picture.size(1) != info.cxr_size) {
      throw Error(fmt::format(
          "{}: expected {} x {} pixels as the model was trained with, found {} x {}. The dataset "
          "was made with "
          "another preprocess.cxr_size.",
          item.cxr.string(), info.cxr_size, info.cxr_size, picture.size(1), picture.size(0)));
    }
    return picture.unsqueeze(0);
  }
  // A model of any pictures was trained on them as they are, whatever they show.
  const bool any_picture = info.source == PictureSource::picture;
  const CxrOptions as_is{.invert = CxrInvert::never, .trim = false, .refuse_not_chest = false};
  const ModelXray xray = load_model_xray(item.cxr, info.cxr_size, any_picture ? as_is : options);
  if (!any_picture) warnings = xray.warnings;
  return xray.picture.unsqueeze(0);
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

LoadedCxr load_cxr(const CxrItem& item, const DatasetInfo& info, const CxrOptions& options) {
  LoadedCxr cxr;
  cxr.picture = picture_of(item, info, options, cxr.warnings);
  cxr.sha256 = sha256_of_file(item.cxr);
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
