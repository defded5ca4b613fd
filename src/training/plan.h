// What a training will take, told before it starts.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

#include "x2ctpa/training/loop.h"

namespace x2ctpa {

struct Plan {
  const std::string& name;
  const TrainOptions& options;
  const torch::nn::Module& module;
  const std::vector<Opponent>& opponents;
  int64_t processes;
  int64_t done;  ///< steps

  /// Parameters, steps, cases per step, and what the state of the training takes.
  std::string before() const;
  /// Time and memory, after one batch that took `seconds`.
  std::string after(double seconds, c10::Device device) const;

 private:
  int64_t state_bytes() const;
};

/// Settings that need less memory than `options`, as a sentence.
std::string advice(const TrainOptions& options);

}  // namespace x2ctpa
