// The processes that train one model together, on LibTorch's c10d: Gloo on CPUs, NCCL between GPUs.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace x2ctpa {

class Processes {
 public:
  /// One process that trains alone.
  Processes();
  /// Meets the others that torchrun (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), srun
  /// (SLURM_PROCID, SLURM_NTASKS) or scripts/launch.sh started; alone without these variables.
  /// `device`: of the tensors that will be reduced. Throws Error when they do not meet within five
  /// minutes.
  explicit Processes(c10::Device device);
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  int64_t rank() const { return rank_; }
  int64_t count() const { return count_; }
  /// The one that writes files.
  bool first() const { return rank_ == 0; }
  bool alone() const { return count_ == 1; }

  /// In every process at the same place: sums over all, the first's values to all, in place.
  void sum(at::Tensor& tensor) const;
  void broadcast(at::Tensor& tensor) const;
  /// Whether any of them says yes.
  bool any(bool yes) const;
  /// Returns when all have come here.
  void wait_for_all() const;

  /// Starts to sum `tensor` over all, in place; call what it returns to wait for the end.
  std::function<void()> start_sum(at::Tensor tensor) const;

  /// Leaves the reason why this one ends for the others to print.
  void tell_cause(const std::string& cause) const;

 private:
  struct Group;

  /// Runs `work`; an error of the connection becomes one that says which process ended, and why.
  void guarded(const std::function<void()>& work) const;

  int64_t rank_ = 0, count_ = 1;
  std::unique_ptr<Group> group_;
};

}  // namespace x2ctpa
