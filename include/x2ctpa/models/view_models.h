// Models fitted in closed form, of which each set of views that may be there has one of its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/models/linear_mean.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {

/// Where that of a set lies: the frontal one in `folder` itself, the others in folders within, by
/// the set's word.
std::filesystem::path view_set_folder(const std::filesystem::path& folder, ViewSet set);

/// The models in `folder`, by the number of the ViewSet.
template <class Model>
std::vector<Model> load_view_sets(const std::filesystem::path& folder, CxrViews views) {
  std::vector<Model> models;
  for (int64_t set = 0; set < view_set_count(views); ++set)
    models.push_back(load_model<Model>(view_set_folder(folder, ViewSet(set))));
  return models;
}

template <class Model>
void save_view_sets(const std::filesystem::path& folder, const std::vector<Model>& models) {
  for (size_t set = 0; set < models.size(); ++set)
    save_module(view_set_folder(folder, ViewSet(set)), *models[set],
                options_to_yaml(models[set]->options()));
}

/// A hash of the weights of all sets' models in `folder`; of a frontal model that of its file.
std::string hash_of_view_sets(const std::filesystem::path& folder);

/// The linear mean of each set of views.
class ViewMeans {
 public:
  ViewMeans() = default;
  explicit ViewMeans(std::vector<LinearMean> means) : means_(std::move(means)) {}

  bool is_empty() const { return means_.empty(); }
  const std::vector<LinearMean>& of_sets() const { return means_; }
  void to(c10::Device device);

  /// X-rays (B, V, S, S) of the sets `sets` (B) to standardised latents (B, C, d, h, w).
  at::Tensor forward(const at::Tensor& cxr, const at::Tensor& sets) const;
  /// The unit of what they leave: (1, C) where all are of one set, else (B, C).
  at::Tensor rest_std(const at::Tensor& sets) const;

 private:
  std::vector<LinearMean> means_;
};

}  // namespace x2ctpa
