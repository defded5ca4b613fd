#include "training/gradient_sum.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>

namespace x2ctpa {
namespace {

struct ReadyHook : torch::autograd::PostAccumulateGradHook {
  explicit ReadyHook(std::function<void()> ready) : ready(std::move(ready)) {}
  void operator()(const torch::autograd::Variable&) override { ready(); }
  std::function<void()> ready;
};

}  // namespace

GradientSum::GradientSum(std::vector<at::Tensor> parameters, const Processes& processes,
                         int64_t bucket_bytes)
    : parameters_(std::move(parameters)), processes_(processes), bucket_of_(parameters_.size()) {
  if (processes.alone()) return;
  // The last layers' gradients come first.
  for (size_t i = parameters_.size(); i-- > 0;) {
    const int64_t n = parameters_[i].numel();
    if (buckets_.empty() || (buckets_.back().elements + n) * 4 > bucket_bytes)
      buckets_.emplace_back();
    bucket_of_[i] = buckets_.size() - 1;
    buckets_.back().parameters.push_back(i);
    buckets_.back().elements += n;
    torch::autograd::impl::set_post_acc_grad_hooks(
        parameters_[i], std::make_unique<ReadyHook>([this, i] { gradient_ready(i); }));
  }
}

GradientSum::~GradientSum() {
  if (processes_.alone()) return;
  for (const auto& p : parameters_) torch::autograd::impl::set_post_acc_grad_hooks(p, nullptr);
}

void GradientSum::start() {
  if (processes_.alone()) return;
  active_ = true;
  sent_ = 0;
  for (auto& bucket : buckets_) bucket.missing = int64_t(bucket.parameters.size());
}

void GradientSum::gradient_ready(size_t parameter) {
  if (!active_) return;
  --buckets_[bucket_of_[parameter]].missing;
  while (sent_ < buckets_.size() && buckets_[sent_].missing == 0) send(buckets_[sent_++]);
}

void GradientSum::send(Bucket& bucket) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  std::vector<float> has;
  for (const size_t i : bucket.parameters) {
    const auto& p = parameters_[i];
    has.push_back(p.grad().defined());
    parts.push_back(p.grad().defined() ? p.grad().reshape(-1)
                                       : at::zeros({p.numel()}, p.options()));
  }
  // One element per parameter at the end counts the processes that have its gradient.
  parts.push_back(at::tensor(has).to(parts.front().options()));
  bucket.sum = at::cat(parts);
  bucket.wait = processes_.start_sum(bucket.sum);
}

void GradientSum::receive(Bucket& bucket) {
  bucket.wait();
  const auto counts =
      bucket.sum.narrow(0, bucket.elements, int64_t(bucket.parameters.size())).cpu();
  bucket.sum.div_(double(processes_.count()));
  int64_t at = 0;
  for (size_t k = 0; k < bucket.parameters.size(); ++k) {
    auto& p = parameters_[bucket.parameters[k]];
    const auto mean = bucket.sum.narrow(0, at, p.numel()).view(p.sizes());
    at += p.numel();
    if (counts[int64_t(k)].item<float>() == 0) continue;
    if (p.grad().defined())
      p.mutable_grad().copy_(mean);
    else
      p.mutable_grad() = mean.clone();
  }
  bucket.sum = at::Tensor();
  bucket.wait = nullptr;
}

void GradientSum::finish() {
  if (processes_.alone()) return;
  at::NoGradGuard no_grad;
  active_ = false;
  while (sent_ < buckets_.size()) send(buckets_[sent_++]);
  for (auto& bucket : buckets_) receive(bucket);
}

}  // namespace x2ctpa
