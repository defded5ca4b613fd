#include "x2ctpa/models/view_models.h"

#include <ATen/ATen.h>

#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace fs = std::filesystem;

fs::path view_set_folder(const fs::path& folder, ViewSet set) {
  return set == ViewSet::frontal ? folder : folder / std::string(word_of(set));
}

std::string hash_of_view_sets(const fs::path& folder) {
  std::string hashes;
  for (int64_t set = 0; set < view_sets; ++set) {
    const auto file = model_weights_file(view_set_folder(folder, ViewSet(set)));
    if (set == 0 || fs::exists(file)) hashes += sha256_of_file(file);
  }
  return hashes;
}

void ViewMeans::to(c10::Device device) {
  for (auto& mean : means_) mean->to(device);
}

at::Tensor ViewMeans::forward(const at::Tensor& cxr, const at::Tensor& sets) const {
  return over_view_sets(sets, [&](int64_t set, const at::Tensor& rows) {
    return means_.at(size_t(set))->forward(rows_of(cxr, rows));
  });
}

at::Tensor ViewMeans::rest_std(const at::Tensor& sets) const {
  return over_view_sets(sets, [&](int64_t set, const at::Tensor& rows) {
    const auto std = means_.at(size_t(set))->rest_std().unsqueeze(0);
    return rows.defined() ? std.expand({rows.numel(), -1}) : std;
  });
}

}  // namespace x2ctpa
