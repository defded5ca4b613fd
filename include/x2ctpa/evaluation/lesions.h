// Whether a patient's clots are still there in a volume. docs/metrics.md states the protocol.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/evaluation/image_sources.h"

namespace x2ctpa {

/// The numbers of one volume at the place of the true volume's clots.
namespace lesion {
enum Index : int { contrast, preserved, detectability, dice, same_side, count };
}
inline constexpr std::array<const char*, lesion::count> lesion_keys{
    "contrast_hu", "contrast_share", "detectability", "dice", "same_side"};

/// NaN: not measured.
using LesionValues = std::array<double, lesion::count>;

/// The slice with most of a clot, grey levels of 8 bits in the window; undefined where there is no
/// such volume.
struct LesionPicture {
  at::Tensor truth, autoencoder, generated;
  at::Tensor clot;    ///< the share of each voxel in the clots, 255 for all of it
  double aspect = 1;  ///< width of the picture over its height, in millimetres
};

struct LesionCase {
  std::string case_id, patient_id;
  double ml = 0;         ///< of all clots of the case
  bool central = false;  ///< at least half of them in the middle half of the lungs' box
  std::string size;      ///< "small", "medium" or "large": its third by ml
  LesionValues truth;
  std::array<std::optional<LesionValues>, source::count> values;
  LesionPicture picture;
};

/// Cases of one size or place.
struct LesionGroup {
  std::string name;  ///< "all", a size, "central" or "peripheral"
  int64_t cases = 0;
  std::array<Distribution, lesion::count> truth;
  std::array<std::array<Distribution, lesion::count>, source::count> sources;
};

struct LesionEvaluation {
  std::vector<LesionCase> cases;
  double small_below_ml = 0, large_from_ml = 0;
  std::vector<LesionGroup> groups;  ///< "all" first
  /// Of all cases, against the two baselines; Holm over all of them together.
  std::array<std::array<std::optional<BaselineTest>, source::count>, lesion::count> tests;
};

}  // namespace x2ctpa
