// Whether a picture looks like a frontal chest X-ray, and which way its grey levels run.
#pragma once

#include <torch/types.h>

namespace x2ctpa {

/// How much a picture looks like a frontal chest X-ray, from -1 to 1.
///
/// A coarse drawing of a thorax (two dark lungs, bright mediastinum, heart, abdomen and chest wall)
/// is laid over the picture at many places and sizes; the likeness is the best weighted
/// correlation.
struct ChestLikeness {
  double bone_bright = -1;  ///< of the picture as it is
  double bone_dark = -1;    ///< of its negative
  /// At the best place of the better of the two, in standard deviations of the picture there: how
  /// much darker each lung is than the mediastinum, and both than the picture's lower border.
  double right_lung = 0, left_lung = 0, lower_border = 0;

  /// The stated rule: a likeness of at least 0.65 that leads the negative's by 0.12; both lungs
  /// darker than the mediastinum by 0.35 and alike within 0.6 (1.2 from a likeness of 0.75 on); a
  /// lower border brighter than the lungs, as a body reaches it on an X-ray, unlike on a CT slice.
  bool frontal() const;
  /// The rule holds for the negative and not for the picture.
  bool negative() const { return frontal() && bone_dark > bone_bright; }
};

/// Whether a lateral chest X-ray (H, W), bone bright, seems to show the patient looking to the
/// right: neck and shoulders lie behind the heart, so that the brightness of the upper chest has
/// its middle nearer to the back than that of the lower chest.
bool looks_right(const at::Tensor& pixels);

/// Throws Error unless `pixels` is a picture (H, W).
ChestLikeness chest_likeness(const at::Tensor& pixels);

}  // namespace x2ctpa
