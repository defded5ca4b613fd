#include "training/codebook_usage.h"

#include <ATen/ATen.h>

#include <limits>

namespace x2ctpa {

CodebookUsageImpl::CodebookUsageImpl(int64_t codes) {
  counts_ = register_buffer("counts", at::zeros({codes}, at::kLong));
  last_counts_ = register_buffer("last_counts", at::zeros({codes}, at::kLong));
}

void CodebookUsageImpl::add(const at::Tensor& indices,
                            const std::function<void(at::Tensor&)>& sum) {
  at::NoGradGuard no_grad;
  const auto rows = indices.flatten();
  at::Tensor counts = at::zeros_like(counts_).index_add_(0, rows, at::ones_like(rows));
  if (sum) sum(counts);
  counts_.add_(counts);
}

void CodebookUsageImpl::end_epoch() {
  at::NoGradGuard no_grad;
  last_counts_.copy_(counts_);
  counts_.zero_();
}

double CodebookUsageImpl::last_use() const {
  if (last_counts_.sum().item<int64_t>() == 0) return std::numeric_limits<double>::quiet_NaN();
  return (last_counts_ > 0).to(at::kDouble).mean().item<double>();
}

double CodebookUsageImpl::last_perplexity() const {
  const auto counts = last_counts_.to(at::kCPU, at::kDouble);
  const double total = counts.sum().item<double>();
  if (total == 0) return std::numeric_limits<double>::quiet_NaN();
  const auto share = counts / total;
  return (-at::xlogy(share, share).sum()).exp().item<double>();
}

}  // namespace x2ctpa
