// Mean gradients over all processes, summed in buckets while the backward pass still runs
// (Li et al., arXiv 2006.15704).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "x2ctpa/training/processes.h"

namespace x2ctpa {

class GradientSum {
 public:
  /// `bucket_bytes`: how much travels at once.
  GradientSum(std::vector<at::Tensor> parameters, const Processes& processes,
              int64_t bucket_bytes = 16 << 20);
  ~GradientSum();
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  /// Before the backward pass that completes the gradients: from now on each full bucket sets off.
  void start();
  /// After it: the gradients are the means over the processes. A parameter that no process had a
  /// gradient for still has none; one that some had counts as zero in the others.
  void finish();

 private:
  struct Bucket {
    std::vector<size_t> parameters;
    int64_t elements = 0;
    int64_t missing = 0;  ///< gradients that are not complete yet
    at::Tensor sum;
    std::function<void()> wait;
  };

  void gradient_ready(size_t parameter);
  void send(Bucket& bucket);
  void receive(Bucket& bucket);

  std::vector<at::Tensor> parameters_;
  const Processes& processes_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_;
  size_t sent_ = 0;  ///< buckets; every process sends them in the same order
  bool active_ = false;
};

}  // namespace x2ctpa
