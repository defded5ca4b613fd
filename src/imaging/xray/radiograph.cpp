#include "x2ctpa/imaging/xray/radiograph.h"

#include <ATen/ATen.h>
#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "imaging/dicom/dicom_slice.h"
#include "imaging/dicom/gdcm_dataset.h"
#include "imaging/files/picture_checks.h"
#include "imaging/files/picture_io.h"
#include "imaging/files/picture_turn.h"
#include "imaging/xray/chest_view.h"
#include "imaging/xray/radiograph_dicom.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

constexpr int64_t smallest_side = 16;     // below this a file holds an icon, not an X-ray
constexpr double widest_aspect = 2.0;     // frontal X-rays are between 1:1 and 1:1.5
constexpr double least_contrast = 0.01;   // standard deviation of the picture
constexpr double doubted_likeness = 0.5;  // below this a header's "frontal" is doubted

void check_size(int64_t height, int64_t width, const fs::path& file) {
  if (height < smallest_side || width < smallest_side || height > largest_picture_side ||
      width > largest_picture_side)
    throw Error(fmt::format("{}: a picture of {} x {} pixels; expected sides between {} and {}.",
                            file.string(), width, height, smallest_side, largest_picture_side));
}

Radiograph read_picture(const fs::path& file) {
  ImageHeader header;
  auto samples = read_image_file(
      file, ImageKind::picture, header, most_picture_samples, [&](const ImageHeader& h) {
        if (h.size.size() < 2 || (h.size.size() > 2 && h.size[2] != 1))
          throw Error(fmt::format("{}: expected a single picture, found size {}.", file.string(),
                                  fmt::join(h.size, " x ")));
        check_size(h.size[1], h.size[0], file);
      });
  samples = turned_upright(samples.reshape({header.size[1], header.size[0], header.components}),
                           header.orientation);
  const int64_t bits = used_bits(samples);
  Radiograph xray;
  xray.pixels = grey_picture(samples, bits);
  xray.photometric = header.components >= 3 ? "RGB" : "MONOCHROME2";
  xray.bits = bits > 0 ? bits : header.bits;
  if (header.orientation != 1)
    xray.warn("turned",
              fmt::format("it is turned as its EXIF orientation ({}) says", header.orientation));
  if (xray.bits + 1 < header.bits)
    xray.warn("range", fmt::format("its values use {} of {} bits, so {} is taken as white",
                                   xray.bits, header.bits, (int64_t{1} << xray.bits) - 1));
  if (is_colourful(samples, bits))
    xray.warn("not-chest", "not a chest X-ray? it is a colour picture");
  return xray;
}

bool has(const Radiograph& xray, const std::string& code) {
  return std::find(xray.codes.begin(), xray.codes.end(), code) != xray.codes.end();
}

// Turns the picture over where `invert` or the picture itself says so.
void settle_polarity(Radiograph& xray, ChestLikeness& likeness, CxrInvert invert) {
  const bool wrong_way = likeness.negative();
  if (invert != CxrInvert::always && !(invert == CxrInvert::automatic && wrong_way)) {
    if (wrong_way)
      xray.warn("polarity",
                "its grey levels look inverted; preprocess.cxr.invert is never, so they stay");
    return;
  }
  if (invert == CxrInvert::automatic)
    xray.warn(
        "polarity",
        fmt::format("its grey levels are inverted against {}; it is turned over (likeness to a "
                    "chest X-ray {:.2f} instead of {:.2f})",
                    xray.modality.empty() ? "what pictures have" : "its header", likeness.bone_dark,
                    likeness.bone_bright));
  xray.pixels = 1 - xray.pixels;
  xray.inverted = !xray.inverted;
  std::swap(likeness.bone_bright, likeness.bone_dark);
}

// What the picture is, by its header where that speaks and by its looks where it does not.
void judge_view(Radiograph& xray, const ChestLikeness& likeness) {
  xray.likeness = likeness.bone_bright;
  const bool looks_frontal = likeness.frontal() && likeness.bone_bright > likeness.bone_dark;
  if (xray.view.empty()) xray.view = looks_frontal ? "frontal" : "unknown";
  if (!looks_frontal && xray.view == "unknown" && !has(xray, "not-chest"))
    xray.warn(
        "not-chest",
        fmt::format("not a chest X-ray? it does not look like a frontal one (likeness {:.2f})",
                    likeness.bone_bright));
  if (!looks_frontal && xray.view == "frontal" && likeness.bone_bright < doubted_likeness)
    xray.warn("unlike",
              fmt::format(
                  "its header says a frontal view, and it does not look like a frontal chest X-ray "
                  "(likeness {:.2f})",
                  likeness.bone_bright));
  xray.is_chest_xray = !has(xray, "not-chest") && !has(xray, "blank");
}

// The same of one that is to be lateral; what would be a doubt of a frontal one is none.
void judge_lateral(Radiograph& xray, const ChestLikeness& likeness) {
  xray.withdraw("lateral");
  const bool looks_frontal = likeness.frontal() && likeness.bone_bright > likeness.bone_dark;
  if (xray.view.empty()) xray.view = looks_frontal ? "frontal" : "unknown";
  if (xray.view == "frontal") xray.warn("not-lateral", "a frontal view; a lateral one is expected");
  xray.is_chest_xray = !has(xray, "not-chest") && !has(xray, "blank");
  if (xray.facing == "right") {
    xray.pixels = xray.pixels.flip({1}).contiguous();
    xray.warn("faces-right", "the patient looks to the right; it is turned over");
  } else if (xray.facing.empty() && xray.view != "frontal" && looks_right(xray.pixels)) {
    xray.warn("looks-right",
              "the patient seems to look to the right, and no header says so; it stays as it is");
  }
}

// The doubts that any picture may raise.
void judge_picture(Radiograph& xray, CxrInvert invert, CxrView expected) {
  const auto height = double(xray.pixels.size(0)), width = double(xray.pixels.size(1));
  if (std::max(height, width) > widest_aspect * std::min(height, width))
    xray.warn("not-chest",
              fmt::format("not a chest X-ray? its sides are {} x {} pixels, more than {} to 1",
                          width, height, widest_aspect));
  if (xray.pixels.std().item<float>() < least_contrast)
    xray.warn("blank", "it has almost no contrast");
  ChestLikeness likeness = chest_likeness(without_borders(xray.pixels));
  if (expected == CxrView::lateral) {
    if (invert == CxrInvert::always) xray.pixels = 1 - xray.pixels;
    return judge_lateral(xray, likeness);
  }
  settle_polarity(xray, likeness, invert);
  judge_view(xray, likeness);
}

}  // namespace

bool is_radiograph_file(const fs::path& file) {
  std::error_code error;
  return fs::is_regular_file(file, error) &&
         (is_picture_file(file) || is_dicom_named(file) || is_dicom_image(file));
}

void CxrOptions::describe(OptionList& options) {
  options.add(
      "invert", &invert,
      "Turn an X-ray over: auto where its negative looks like a chest X-ray and it does not, "
      "never beyond what the header says, or always.");
  options.add("trim", &trim, "Cut off the borders of a collimator, at most 20% of each side.");
  options.add("refuse_not_chest", &refuse_not_chest,
              "Refuse lateral views and pictures that are no chest X-ray, instead of a warning.");
}

void Radiograph::warn(const std::string& code, const std::string& warning) {
  codes.push_back(code);
  warnings.push_back(warning);
}

void Radiograph::withdraw(const std::string& code) {
  for (size_t i = codes.size(); i-- > 0;) {
    if (codes[i] != code) continue;
    codes.erase(codes.begin() + std::ptrdiff_t(i));
    warnings.erase(warnings.begin() + std::ptrdiff_t(i));
  }
}

Radiograph read_radiograph(const fs::path& file, CxrInvert invert, CxrView expected) {
  std::error_code error;
  if (!fs::is_regular_file(file, error))
    throw Error(fmt::format("{}: no such file.", file.string()));
  const bool dicom = is_dicom_named(file) || is_dicom_image(file);
  Radiograph xray = dicom ? read_dicom_radiograph(file) : read_picture(file);
  check_size(xray.pixels.size(0), xray.pixels.size(1), file);
  judge_picture(xray, invert, expected);
  return xray;
}

at::Tensor square_radiograph(const at::Tensor& pixels, int64_t size, double fill) {
  if (!pixels.defined() || pixels.dim() != 2 || pixels.numel() == 0 || size < 1)
    throw Error("square_radiograph: expected pixels of shape (H, W) and a size of at least 1.");
  const int64_t height = pixels.size(0), width = pixels.size(1), side = std::max(height, width);
  const int64_t top = (side - height) / 2, left = (side - width) / 2;
  auto square = torch::full({1, 1, side, side}, fill, pixels.options().dtype(torch::kFloat));
  square[0][0].narrow(0, top, height).narrow(1, left, width).copy_(pixels);
  if (side == size) return square[0][0];
  return at::_upsample_bilinear2d_aa(square, {size, size}, false)[0][0].contiguous();
}

ModelXray load_model_xray(const fs::path& file, int64_t size, const CxrOptions& options,
                          CxrView expected) {
  const Radiograph xray = read_radiograph(file, options.invert, expected);
  const auto refuse = [&](const char* code, const std::string& what) {
    throw RefusedXray(
        code, fmt::format("{}: {}: {}. Give another file, or accept it with --preprocess.cxr."
                          "refuse_not_chest false.",
                          file.string(), what, fmt::join(xray.warnings, "; ")));
  };
  if (options.refuse_not_chest && has(xray, "blank"))
    refuse("cxr-blank", "refused as a blank picture");
  if (options.refuse_not_chest && xray.view == "lateral" && expected == CxrView::frontal)
    refuse("cxr-lateral", "refused as a lateral view");
  if (options.refuse_not_chest && !xray.is_chest_xray)
    refuse("cxr-not-chest", "refused as no chest X-ray");
  ModelXray loaded;
  loaded.codes = xray.codes;
  loaded.warnings = xray.warnings;
  loaded.view = xray.view;
  const at::Tensor pixels = options.trim ? without_borders(xray.pixels) : xray.pixels;
  loaded.picture = square_radiograph(pixels, size);
  return loaded;
}

}  // namespace x2ctpa
