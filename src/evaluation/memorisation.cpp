// Whether generated volumes are copies of training volumes: distances to the nearest one, against
// those of held-out true volumes.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "evaluation/steps.h"
#include "evaluation/volume_comparison.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/training/latents.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// What stands for a volume: at most this many values per axis, so that a training set fits in
// memory.
constexpr int64_t largest_side = 32;

at::Tensor averaged(const at::Tensor& volume) {  // (C, D, H, W)
  std::vector<int64_t> size;
  for (int axis = 1; axis < 4; ++axis) size.push_back(std::min(largest_side, volume.size(axis)));
  return at::adaptive_avg_pool3d(volume.unsqueeze(0), size).flatten();
}

// `training`: the case that the file is, where it is one of the dataset's training cases.
using Represent = std::function<at::Tensor(const fs::path& file, const Case* training)>;

struct Nearest {
  size_t index = 0;
  double distance = 0;
};

// The rows of the training volumes. Distances to all of them come from one product of a matrix with
// a vector; it cancels where rows are alike, so the nearest few by it are compared anew.
class TrainingRows {
 public:
  explicit TrainingRows(const std::vector<at::Tensor>& rows)
      : rows_(at::stack(rows)), squares_(rows_.square().sum(1)) {}

  Nearest nearest(const at::Tensor& value) const {
    constexpr int64_t compared = 16;
    const auto rough = squares_ - 2 * rows_.mv(value);
    const auto places =
        std::get<1>(rough.topk(std::min(compared, rough.size(0)), 0, /*largest=*/false));
    const auto distances = (rows_.index_select(0, places) - value).square().mean(1).sqrt();
    const auto [distance, place] = distances.min(0);
    return {size_t(places[place.item<int64_t>()].item<int64_t>()), distance.item<double>()};
  }

 private:
  at::Tensor rows_, squares_;
};

std::optional<Memorisation> memorisation(const EvaluationInputs& inputs,
                                         const ImageEvaluation& images, const Represent& represent,
                                         const std::string& space, const std::string& distance) {
  std::vector<at::Tensor> rows;
  std::vector<fs::path> files;
  Progress progress("training volumes, " + space, int64_t(inputs.training_volumes.size()));
  for (size_t i = 0; i < inputs.training_volumes.size(); ++i) {
    stop_if_interrupted();
    const fs::path& file = inputs.training_volumes[i];
    try {
      const auto row =
          represent(file, inputs.training_cases.empty() ? nullptr : &inputs.training_cases[i]);
      if (!rows.empty() && rows[0].sizes() != row.sizes()) continue;
      rows.push_back(row);
      files.push_back(file);
    } catch (const Error&) {
      // Named among the problems of the mean volume.
    }
    progress.advance();
  }
  if (rows.empty()) return std::nullopt;
  const TrainingRows training(rows);
  Memorisation result{space, distance, int64_t(rows.size()), {}, {}};
  std::vector<double> generated, real;
  Progress compared("nearest training volume, " + space, int64_t(images.cases.size()));
  for (const CaseResult& c : images.cases) {
    stop_if_interrupted();
    compared.advance();
    const auto image = represent(c.pair.generated, nullptr),
               truth = represent(c.pair.real, nullptr);
    if (image.sizes() != rows[0].sizes() || truth.sizes() != rows[0].sizes()) continue;
    const Nearest own = training.nearest(image), other = training.nearest(truth);
    result.cases.push_back({c.pair.case_id, files[own.index].filename().string(), own.distance,
                            other.distance, false});
    generated.push_back(own.distance);
    real.push_back(other.distance);
  }
  if (result.cases.empty()) return std::nullopt;
  const double smallest = *std::min_element(real.begin(), real.end());
  for (MemorisationCase& c : result.cases) c.suspicious = c.generated < 0.5 * smallest;
  result.test = paired_test(generated, real);
  return result;
}

}  // namespace

std::vector<Memorisation> evaluate_memorisation(const EvaluationInputs& inputs,
                                                const ImageEvaluation& images) {
  std::vector<Memorisation> out;
  if (inputs.training_volumes.empty() || images.cases.empty()) return out;
  const auto unit = [&](const fs::path& file) {
    return inputs.window.to_unit(read_oriented(file).hu).unsqueeze(0);
  };
  const double half_range = 0.5 * (inputs.window.max_hu - inputs.window.min_hu);
  const auto in_image = memorisation(
      inputs, images,
      [&](const fs::path& file, const Case*) { return averaged(unit(file)) * half_range; }, "image",
      fmt::format("root mean square of HU, volumes averaged to at most {0}x{0}x{0}", largest_side));
  if (in_image) out.push_back(*in_image);
  if (inputs.autoencoder.empty()) return out;
  const auto codec = load_latent_codec(inputs.autoencoder, c10::kCPU);
  // What train-diffusion encoded need not be encoded again.
  std::optional<Latents> cache;
  if (inputs.dataset) {
    cache.emplace(*inputs.dataset, inputs.autoencoder, inputs.run / "diffusion" / "latents");
  }
  const auto in_latent = memorisation(
      inputs, images,
      [&](const fs::path& file, const Case* training) {
        at::NoGradGuard no_grad;
        if (training != nullptr && cache && cache->has(*training))
          return averaged(cache->batch({*training}).squeeze(0));
        return averaged(codec->encode(unit(file).unsqueeze(0)).squeeze(0));
      },
      "latent",
      fmt::format("root mean square of latents, averaged to at most {0}x{0}x{0}", largest_side));
  if (in_latent) out.push_back(*in_latent);
  return out;
}

}  // namespace x2ctpa
