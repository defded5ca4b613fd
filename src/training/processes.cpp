#include "x2ctpa/training/processes.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "x2ctpa/core/cuda_library.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/shard.h"

namespace x2ctpa {
namespace {

using c10d::Backend;

std::string variable(const char* name, const std::string& otherwise = {}) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != 0 ? value : otherwise;
}

struct Address {
  std::string host;
  uint16_t port;
};

// Where the first process, or torchrun's agent, listens. Under srun alone: on the node that srun
// was called on, which is the first of the job, at a port made from the job's number.
Address meeting_place() {
  const std::string job = variable("SLURM_JOB_ID", "0");
  const std::string host =
      variable("MASTER_ADDR", variable("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1"));
  const std::string port =
      variable("MASTER_PORT", std::to_string(20000 + std::atoll(job.c_str()) % 20000));
  const int number = std::atoi(port.c_str());
  if (number < 1 || number > 65535)
    throw Error(fmt::format("MASTER_PORT must be a port number, found \"{}\"", port));
  return {host, uint16_t(number)};
}

c10::intrusive_ptr<c10d::Store> open_store(int64_t rank, int64_t count) {
  const Address place = meeting_place();
  c10d::TCPStoreOptions options;
  options.port = place.port;
  // Under torchrun its agent serves already.
  options.isServer = rank == 0 && variable("TORCHELASTIC_USE_AGENT_STORE") != "True";
  options.numWorkers = size_t(count);
  options.waitWorkers = false;
  try {
    auto store = c10::make_intrusive<c10d::TCPStore>(place.host, options);
    return c10::make_intrusive<c10d::PrefixStore>(
        "x2ctpa/" + variable("TORCHELASTIC_RESTART_COUNT", "0"), std::move(store));
  } catch (const std::exception& e) {
    throw Error(fmt::format(
        "process {} of {} did not reach the meeting place {}:{} ({}). Check MASTER_ADDR and "
        "MASTER_PORT, "
        "that all processes were started, and that the port is free.",
        rank + 1, count, place.host, place.port, translate_exception(e, "c10d").what()));
  }
}

c10::intrusive_ptr<Backend> open_gloo(const c10::intrusive_ptr<c10d::Store>& store, int64_t rank,
                                      int64_t count) {
  auto options = c10d::ProcessGroupGloo::Options::create();
  const std::string name = variable("GLOO_SOCKET_IFNAME");
  options->devices.push_back(!name.empty() ? c10d::ProcessGroupGloo::createDeviceForInterface(name)
                             : variable("MASTER_ADDR").rfind("127.", 0) == 0
                                 ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                 : c10d::ProcessGroupGloo::createDefaultDevice());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(
      c10::make_intrusive<c10d::PrefixStore>("gloo", store), int(rank), int(count), options);
}

}  // namespace

struct Processes::Group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<Backend> gloo, nccl;

  Backend& of(const at::Tensor& tensor) const { return tensor.is_cuda() ? *nccl : *gloo; }
};

Processes::Processes() = default;

Processes::Processes(c10::Device device) {
  const Shard place = shard_from("");
  if (place.whole()) return;
  rank_ = place.index;
  count_ = place.count;
  // Gloo writes to sockets without MSG_NOSIGNAL: the signal would end this process before it could
  // say that another was lost.
  std::signal(SIGPIPE, SIG_IGN);
  group_ = std::make_unique<Group>();
  group_->store = open_store(rank_, count_);
  try {
    group_->gloo = open_gloo(group_->store, rank_, count_);
    if (device.is_cuda()) {
      group_->nccl = cuda_state().library->open_nccl(group_->store, int(rank_), int(count_));
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(
        fmt::format("process {} of {} did not meet the others: {}. GLOO_SOCKET_IFNAME names the "
                    "network interface to use.",
                    rank_ + 1, count_, translate_exception(e, "c10d").what()));
  }
  log_info("{} processes train together, this is number {}", count_, rank_ + 1);
}

Processes::~Processes() = default;

void Processes::guarded(const std::function<void()>& work) const {
  try {
    work();
  } catch (const std::exception& e) {
    // The one that ended first tells why a moment before its connections close.
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    std::string cause;
    try {
      for (int64_t r = 0; r < count_; ++r) {
        const std::string key = fmt::format("cause/{}", r);
        if (r == rank_ || !group_->store->check({key})) continue;
        const auto text = group_->store->get(key);
        cause = fmt::format("process {} ended: {}", r + 1, std::string(text.begin(), text.end()));
        break;
      }
    } catch (const std::exception&) {
      cause = "the first process is gone";
    }
    if (cause.empty())
      cause = fmt::format("another process was lost without a word ({})",
                          translate_exception(e, "c10d").what());
    throw Error(fmt::format("process {} of {} stops, since {}", rank_ + 1, count_, cause));
  }
}

std::function<void()> Processes::start_sum(at::Tensor tensor) const {
  if (alone()) return [] {};
  c10::intrusive_ptr<c10d::Work> work;
  guarded([&] {
    Tensors tensors{tensor};
    work = group_->of(tensor).allreduce(tensors);
  });
  return [this, work, tensor] { guarded([&] { work->wait(); }); };
}

void Processes::sum(at::Tensor& tensor) const { start_sum(tensor)(); }

void Processes::broadcast(at::Tensor& tensor) const {
  if (alone()) return;
  at::Tensor plain = tensor.detach().contiguous();
  guarded([&] {
    Tensors tensors{plain};
    group_->of(plain).broadcast(tensors)->wait();
  });
  if (plain.data_ptr() != tensor.data_ptr()) {
    at::NoGradGuard no_grad;
    tensor.copy_(plain);
  }
}

bool Processes::any(bool yes) const {
  if (alone()) return yes;
  at::Tensor flag = at::full({1}, yes ? 1 : 0, at::kInt);
  sum(flag);
  return flag.item<int>() > 0;
}

void Processes::wait_for_all() const { any(false); }

void Processes::tell_cause(const std::string& cause) const {
  if (alone()) return;
  try {
    group_->store->set(fmt::format("cause/{}", rank_),
                       std::vector<uint8_t>(cause.begin(), cause.end()));
    // The others read it here, if this process serves the store.
    if (first()) std::this_thread::sleep_for(std::chrono::seconds(1));
  } catch (const std::exception&) {
  }
}

}  // namespace x2ctpa
