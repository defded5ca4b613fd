#include "training/frozen_features.h"

#include <ATen/ATen.h>

#include <string>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace fs = std::filesystem;

FrozenFeatures::FrozenFeatures(const Dataset& dataset, const fs::path& model,
                               const fs::path& folder, bool tokens)
    : FrozenFeatures(dataset, model, folder, tokens,
                     sha256_of_file(model_weights_file(model)) + dataset.info().hash) {}

FrozenFeatures::FrozenFeatures(const Dataset& dataset, const fs::path& model,
                               const fs::path& folder, bool tokens, const std::string& key)
    : model_(model), pooled_(folder / "embeddings", key + "embedding") {
  if (tokens) tokens_.emplace(folder / "embeddings", key + "tokens");
  for (const auto& c : dataset.cases()) {
    if (!c.cxr.empty() && c.split != "test") cases_.push_back(c);
  }
  if (cases_.empty()) throw Error("no training case has an X-ray", ExitCode::no_data);
}

void FrozenFeatures::encode_missing(const Dataset& dataset, c10::Device device,
                                    const Shard& shard) {
  std::vector<Case> missing;
  for (size_t i = 0; i < cases_.size(); ++i) {
    if (!shard.owns(int64_t(i))) continue;
    if (!pooled_.has(cases_[i]) || (tokens_ && !tokens_->has(cases_[i])))
      missing.push_back(cases_[i]);
  }
  if (missing.empty()) return;
  auto encoder = load_model<VisionTransformer>(model_);
  encoder->to(device);
  encoder->eval();
  at::NoGradGuard no_grad;
  Progress progress("encoding X-rays", int64_t(missing.size()));
  for (const auto& c : missing) {
    stop_if_interrupted();
    const auto found = encoder->find(dataset.load_cxr(c).unsqueeze(0).to(device));
    pooled_.put(c, found.pooled.squeeze(0));
    if (tokens_) tokens_->put(c, found.tokens.squeeze(0));
    progress.advance();
  }
}

}  // namespace x2ctpa
