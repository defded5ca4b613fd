#include "x2ctpa/models/cxr_novelty.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/safetensors.h"

namespace x2ctpa {
namespace {

constexpr int64_t thumbnail = 12;  // pixels a side
constexpr double novelty_quantile = 0.995;
constexpr int64_t novelty_folds = 5;

// Mean and precision; without the limit.
NoveltyPart gaussian_of(const at::Tensor& rows) {
  const double n = double(rows.size(0)), f = double(rows.size(1));
  NoveltyPart part;
  part.mean = rows.mean(0);
  const auto x = rows - part.mean;
  const auto covariance = x.t().mm(x) / n;
  const double mu = covariance.trace().item<double>() / f;
  const auto identity = at::eye(rows.size(1), rows.options());
  const double d2 = (covariance - mu * identity).square().sum().item<double>() / f;
  // Over the cases, the mean of |x x' - covariance|^2 is that of |x|^4 less |covariance|^2.
  const double b2 = (x.square().sum(1).square().sum().item<double>() / n -
                     covariance.square().sum().item<double>()) /
                    n / f;
  const double shrinkage = d2 > 0 ? std::clamp(b2 / d2, 0.0, 1.0) : 1.0;
  const double floor = 1e-9 + 1e-6 * mu;
  const auto shrunk = (1 - shrinkage) * covariance + (shrinkage * mu + floor) * identity;
  part.precision = at::cholesky_inverse(at::linalg_cholesky(shrunk));
  return part;
}

std::filesystem::path file_of(const std::filesystem::path& folder, CxrView view) {
  return folder /
         (view == CxrView::frontal ? "cxr_novelty.safetensors" : "cxr_novelty_lateral.safetensors");
}

}  // namespace

at::Tensor NoveltyPart::distance(const at::Tensor& x) const {
  const auto centred = x.to(at::kCPU, at::kDouble) - mean;
  return (centred.mm(precision) * centred).sum(1).clamp_min(0).sqrt();
}

NoveltyPart fit_novelty(const at::Tensor& given) {
  const auto rows = given.to(at::kCPU, at::kDouble);
  const int64_t n = rows.size(0);
  if (n < 2) throw Error(fmt::format("novelty: expected at least 2 training X-rays, found {}", n));
  const int64_t folds = std::min(novelty_folds, n);
  std::vector<at::Tensor> held_out;
  for (int64_t fold = 0; fold < folds; ++fold) {
    std::vector<int64_t> in, out;
    for (int64_t i = 0; i < n; ++i) (i % folds == fold ? out : in).push_back(i);
    const auto gaussian = gaussian_of(rows.index_select(0, at::tensor(in, at::kLong)));
    held_out.push_back(gaussian.distance(rows.index_select(0, at::tensor(out, at::kLong))));
  }
  NoveltyPart part = gaussian_of(rows);
  part.limit = std::max(at::quantile(at::cat(held_out), novelty_quantile).item<double>(), 1e-6);
  return part;
}

at::Tensor CxrNovelty::thumbnails(const at::Tensor& pictures) {
  const auto small =
      at::adaptive_avg_pool2d(pictures.to(at::kCPU, at::kFloat), {thumbnail, thumbnail});
  const auto rows = small.flatten(1).to(at::kDouble);
  const auto centred = rows - rows.mean(1, /*keepdim=*/true);
  return centred / centred.std(1, /*unbiased=*/false, /*keepdim=*/true).clamp_min(1e-6);
}

CxrNovelty::CxrNovelty(const at::Tensor& thumbnails, const at::Tensor& embeddings)
    : picture_(fit_novelty(thumbnails)), embedding_(fit_novelty(embeddings)) {}

Novelty CxrNovelty::measure(const at::Tensor& picture, const at::Tensor& embedding) const {
  return {picture_.distance(thumbnails(picture.unsqueeze(0))).item<double>() / picture_.limit,
          embedding_.distance(embedding.unsqueeze(0)).item<double>() / embedding_.limit};
}

void CxrNovelty::save(const std::filesystem::path& folder, CxrView view) const {
  TensorMap tensors;
  const auto add = [&](const std::string& name, const NoveltyPart& part) {
    tensors[name + ".mean"] = part.mean;
    tensors[name + ".precision"] = part.precision;
    tensors[name + ".limit"] = at::tensor({part.limit}, at::kDouble);
  };
  add("picture", picture_);
  add("embedding", embedding_);
  write_safetensors(file_of(folder, view), tensors);
}

std::optional<CxrNovelty> CxrNovelty::load(const std::filesystem::path& folder, CxrView view) {
  const auto file = file_of(folder, view);
  if (!std::filesystem::exists(file)) return std::nullopt;
  const TensorMap tensors = read_safetensors(file);
  const auto part = [&](const std::string& name) {
    for (const char* field : {".mean", ".precision", ".limit"}) {
      if (!tensors.count(name + field))
        throw Error(fmt::format("{}: it lacks {}{}", file.string(), name, field));
    }
    return NoveltyPart{tensors.at(name + ".mean").clone(), tensors.at(name + ".precision").clone(),
                       tensors.at(name + ".limit")[0].item<double>()};
  };
  CxrNovelty novelty;
  novelty.picture_ = part("picture");
  novelty.embedding_ = part("embedding");
  return novelty;
}

}  // namespace x2ctpa
