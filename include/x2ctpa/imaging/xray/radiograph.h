// Chest X-rays as DICOM (CR, DX, RF) or picture files.
#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/options.h"

namespace x2ctpa {

/// Which X-rays are turned over: those whose negative looks like a frontal chest X-ray and that do
/// not themselves, with a warning; none beyond what the header says; or all.
enum class CxrInvert { automatic, never, always };
constexpr auto words(CxrInvert) { return std::array{"auto", "never", "always"}; }

/// How X-rays are read, for training and sampling alike. Section `preprocess.cxr`.
struct CxrOptions {
  CxrInvert invert = CxrInvert::automatic;
  bool trim = true;
  bool refuse_not_chest = false;

  void describe(OptionList& options);
};

/// One X-ray with bone bright.
struct Radiograph {
  at::Tensor pixels;  ///< float32 (H, W) in [0, 1], bone bright, rows from superior to inferior,
                      ///< columns from patient right to left (as a PA X-ray is hung)
  std::array<double, 2> spacing_mm{0, 0};  ///< row, column pitch at the detector; 0: unknown
  std::string photometric;                 ///< "MONOCHROME1", "MONOCHROME2", "RGB", ...
  std::string modality;                    ///< DICOM modality; empty for pictures
  int64_t bits = 0;                        ///< that the samples use
  bool inverted = false;                   ///< true when the stored values were bone dark
  bool is_chest_xray = true;               ///< by the header, and by the picture where it is silent
  std::string view;                        ///< "frontal", "lateral" or "unknown"
  std::string facing;                      ///< of a lateral one, by the header: "left", "right"
  double likeness = 0;                     ///< to a frontal chest X-ray, -1 to 1
  std::vector<std::string> codes;     ///< of the warnings: "not-chest", "lateral", "polarity", ...
  std::vector<std::string> warnings;  ///< doubts such as "not a chest X-ray"

  void warn(const std::string& code, const std::string& warning);
  void withdraw(const std::string& code);  ///< takes back warnings of this code
};

/// An X-ray that is readable and not wanted: "cxr-blank", "cxr-lateral" or "cxr-not-chest".
class RefusedXray : public Error {
 public:
  RefusedXray(std::string reason_code, const std::string& reason)
      : Error(reason), reason_code_(std::move(reason_code)) {}
  const std::string& reason_code() const { return reason_code_; }

 private:
  std::string reason_code_;
};

/// True for a file that may hold an X-ray: a picture or DICOM by its name, or DICOM by its content,
/// with the magic or without it and without an ending, as preprocess finds them.
bool is_radiograph_file(const std::filesystem::path& file);

/// Reads one X-ray. DICOM: first frame, modality LUT or rescale, VOI LUT or window (else the 0.5 to
/// 99.5 percentile range), MONOCHROME1 inverted. Pictures: turned as their EXIF orientation says,
/// grey or colour to grey, over the range of the bits that 99.9% of their values use (8, 10, 12,
/// 14, or all of the type's), with a warning where these are not all. One that is to be `lateral`
/// is turned so that the patient looks to its left where the header says otherwise, keeps the
/// polarity that the header says, and gets a warning "not-lateral" where it is a frontal one.
/// Throws Error naming the file and the reason.
Radiograph read_radiograph(const std::filesystem::path& file,
                           CxrInvert invert = CxrInvert::automatic,
                           CxrView expected = CxrView::frontal);

/// The picture without the borders of a collimator: lines of one level along an edge (90% of the
/// line within 0.03), at most 20% of the side, behind which most of the line jumps by 0.05 or more.
/// A border that is wider, or that fades into the picture, stays.
at::Tensor without_borders(const at::Tensor& pixels);

/// An X-ray as models take it.
struct ModelXray {
  at::Tensor picture;                        ///< float32 (size, size) in [0, 1], bone bright
  std::vector<std::string> codes, warnings;  ///< as those of Radiograph
  std::string view;                          ///< the same
};

/// Reads, trims, pads to a square and resizes an X-ray: what preprocess stores and sample feeds.
/// Throws Error for a file that cannot be read and, with `refuse_not_chest`, RefusedXray for a
/// blank picture, a lateral view or what is no chest X-ray.
ModelXray load_model_xray(const std::filesystem::path& file, int64_t size,
                          const CxrOptions& options = {}, CxrView expected = CxrView::frontal);

/// Pads `pixels` (H, W) with `fill` to a square around its middle and resizes it, anti-aliased, to
/// (size, size).
at::Tensor square_radiograph(const at::Tensor& pixels, int64_t size, double fill = 0);

}  // namespace x2ctpa
