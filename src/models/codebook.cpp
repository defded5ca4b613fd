#include "x2ctpa/models/codebook.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "models/checks.h"
#include "models/kernels/codebook_search.h"
#include "x2ctpa/core/autocast.h"

namespace x2ctpa {
namespace {

constexpr int64_t max_distances = int64_t{1} << 24;  // elements of one block of the distance matrix

// (B, C, d, h, w) -> (B d h w, C), contiguous.
at::Tensor as_rows(const at::Tensor& z) {
  return z.permute({0, 2, 3, 4, 1}).reshape({-1, z.size(1)});
}

}  // namespace

CodebookImpl::CodebookImpl(CodebookOptions options) : options_(options) {
  embeddings_ = register_buffer("embeddings", at::randn({options.codes, options.embedding_dim}));
  usage_ = register_buffer("N", at::zeros({options.codes}));
  sum_ = register_buffer("z_avg", embeddings_.clone());
  initialised_ = register_buffer("initialised", at::zeros({1}, at::kByte));
}

at::Tensor CodebookImpl::nearest(const at::Tensor& rows) const {
  if (rows.is_cpu()) return search_codes(rows.contiguous(), embeddings_.contiguous());
  // |z - e|^2 = |z|^2 - 2 z.e + |e|^2, and |z|^2 does not change the winner.
  const auto code_norms = embeddings_.square().sum(1);
  const auto codes = embeddings_.t();
  const int64_t block = std::max<int64_t>(1, max_distances / options_.codes);
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < rows.size(0); start += block) {
    const auto part = rows.narrow(0, start, std::min(block, rows.size(0) - start));
    parts.push_back(at::addmm(code_norms, part, codes, /*beta=*/1, /*alpha=*/-2).argmin(1));
  }
  return at::cat(parts);
}

at::Tensor CodebookImpl::random_rows(const at::Tensor& rows,
                                     std::optional<at::Generator> generator) const {
  // A random choice among the rows; when there are fewer rows than codes they repeat, with noise.
  const int64_t count = rows.size(0), codes = options_.codes;
  const int64_t repeats = (codes + count - 1) / count;
  const auto order = at::randperm(count * repeats, generator, at::kLong).narrow(0, 0, codes);
  auto chosen = rows.index_select(0, order.remainder(count).to(rows.device()));
  if (repeats > 1) {
    const double deviation = 0.01 / std::sqrt(double(rows.size(1)));
    const auto noise = at::randn(chosen.sizes(), generator, at::kFloat);
    chosen = chosen + noise.to(rows.device()) * deviation;
  }
  if (broadcast_) broadcast_(chosen);
  return chosen;
}

void CodebookImpl::initialise(const at::Tensor& rows, std::optional<at::Generator> generator) {
  const auto chosen = random_rows(rows, generator);
  embeddings_.copy_(chosen);
  sum_.copy_(chosen);
  usage_.fill_(1);
  initialised_.fill_(1);
}

void CodebookImpl::update(const at::Tensor& rows, const at::Tensor& indices,
                          const at::Tensor& counts, std::optional<at::Generator> generator) {
  auto uses = counts.clone();
  auto sums = at::zeros_like(sum_).index_add_(0, indices, rows);
  if (all_reduce_) {
    all_reduce_(uses);
    all_reduce_(sums);
  }
  usage_.mul_(options_.ema_decay).add_(uses, 1 - options_.ema_decay);
  sum_.mul_(options_.ema_decay).add_(sums, 1 - options_.ema_decay);
  // Laplace smoothing keeps codes that are never used finite.
  constexpr double epsilon = 1e-7;
  const auto total = usage_.sum();
  const auto smoothed = (usage_ + epsilon) / (total + double(options_.codes) * epsilon) * total;
  embeddings_.copy_(sum_ / smoothed.unsqueeze(1));
  if (options_.random_restart) {
    const auto used = (usage_ >= options_.restart_threshold).unsqueeze(1);
    embeddings_.copy_(at::where(used, embeddings_, random_rows(rows, generator)));
  }
}

void CodebookImpl::restart(const at::Tensor& z, const at::Tensor& which,
                           std::optional<at::Generator> generator) {
  require_shape(z, {-1, options_.embedding_dim, -1, -1, -1}, "codebook: z (B, C, d, h, w)");
  require_shape(which, {options_.codes}, "codebook: codes to restart (codes)");
  torch::NoGradGuard no_grad;
  const auto chosen = which.to(embeddings_.device());
  const auto rows = random_rows(as_rows(z.detach().to(at::kFloat)), generator);
  embeddings_.copy_(at::where(chosen.unsqueeze(1), rows, embeddings_));
  sum_.copy_(at::where(chosen.unsqueeze(1), rows, sum_));
  usage_.masked_fill_(chosen, 1);
}

Quantised CodebookImpl::forward(const at::Tensor& z, std::optional<at::Generator> generator) {
  require_shape(z, {-1, options_.embedding_dim, -1, -1, -1}, "codebook: z (B, C, d, h, w)");
  // Distances of close codes need more digits than bfloat16 has.
  const Autocast exact(z.device().type(), at::kFloat);
  const auto z32 = z.to(at::kFloat);
  Quantised result;
  at::Tensor codes;
  {
    torch::NoGradGuard no_grad;
    const auto rows = as_rows(z32.detach());
    if (is_training() && initialised_.item<uint8_t>() == 0) initialise(rows, generator);
    const auto indices = nearest(rows);
    result.indices = indices.view({z.size(0), z.size(2), z.size(3), z.size(4)});
    codes = lookup(result.indices);
    const auto counts = at::zeros_like(usage_).index_add_(
        0, indices, at::ones({indices.size(0)}, usage_.options()));
    const auto frequency = counts / double(indices.size(0));
    result.perplexity = (-(frequency * (frequency + 1e-10).log()).sum()).exp();
    if (is_training()) update(rows, indices, counts, generator);
  }
  result.z = z32;
  result.nearest = codes;
  result.quantised = (z32 + (codes - z32).detach()).to(z.scalar_type());
  return result;
}

at::Tensor CodebookImpl::nearest_codes(const at::Tensor& z) const {
  require_shape(z, {-1, options_.embedding_dim, -1, -1, -1}, "codebook: z (B, C, d, h, w)");
  torch::NoGradGuard no_grad;
  const Autocast exact(z.device().type(), at::kFloat);
  const auto indices = nearest(as_rows(z.to(at::kFloat)));
  return lookup(indices.view({z.size(0), z.size(2), z.size(3), z.size(4)})).to(z.scalar_type());
}

at::Tensor CodebookImpl::lookup(const at::Tensor& indices) const {
  require_shape(indices, {-1, -1, -1, -1}, "codebook: indices (B, d, h, w)");
  return embeddings_.index_select(0, indices.flatten())
      .view({indices.size(0), indices.size(1), indices.size(2), indices.size(3), -1})
      .permute({0, 4, 1, 2, 3})
      .contiguous();
}

std::pair<double, double> CodebookImpl::range() const {
  return {embeddings_.min().item<double>(), embeddings_.max().item<double>()};
}

}  // namespace x2ctpa
