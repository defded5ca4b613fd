#include "x2ctpa/data/studies/volume_masks.h"

#include <fmt/format.h>

namespace x2ctpa {

std::string mask_file(const std::string& id, const std::string& kind) {
  return fmt::format("masks/{}_{}.nii.gz", id, kind);
}

}  // namespace x2ctpa
