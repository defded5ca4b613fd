#include "x2ctpa/data/volume_picture.h"

#include <ATen/ATen.h>

#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/preview.h"

namespace x2ctpa {

std::string volume_picture(const DatasetInfo& info, const std::vector<at::Tensor>& volumes,
                           const at::Tensor& cxr, bool synthetic) {
  std::vector<at::Tensor> pictures;
  int64_t height = 0;
  for (const auto& unit : volumes) {
    Volume volume;
    volume.hu = info.window.to_hu(unit.detach().to(at::kCPU, at::kFloat).clamp(-1, 1))
                    .squeeze(0)
                    .contiguous();
    volume.spacing_mm = info.typical_spacing_mm;
    const auto picture = cxr.defined() && pictures.empty() ? cxr.squeeze(0) : at::Tensor();
    const bool generated = synthetic && pictures.size() + 1 == volumes.size();
    pictures.push_back(
        preview_picture(volume, info.window.min_hu, info.window.max_hu, picture, generated));
    height = std::max(height, pictures.back().size(0));
  }
  for (auto& p : pictures) p = at::constant_pad_nd(p, {0, 0, 0, height - p.size(0)});
  return png8_bytes(at::cat(pictures, 1));
}

}  // namespace x2ctpa
