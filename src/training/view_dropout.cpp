#include "training/view_dropout.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {

void hide_views(Batch& batch, double share, int64_t seed, const char* stream, int64_t number) {
  if (batch.cxr.size(1) == 1 || share == 0) return;
  std::vector<at::Tensor> shown;
  for (size_t i = 0; i < batch.cases.size(); ++i) {
    const auto name = fmt::format("{}/{}/{}", stream, number, batch.cases[i].id);
    const double draw = double(stream_seed(seed, name) >> 11) * 0x1p-53;
    const auto cxr = batch.cxr.narrow(0, int64_t(i), 1);
    const bool both = views_there(cxr).all().item<bool>();
    const ViewSet left = !both || draw >= share ? ViewSet::both
                         : draw < share / 2     ? ViewSet::frontal
                                                : ViewSet::lateral;
    shown.push_back(only_views(cxr, left));
  }
  batch.cxr = at::cat(shown);
}

}  // namespace x2ctpa
