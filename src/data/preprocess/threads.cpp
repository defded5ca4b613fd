#include "data/preprocess/threads.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "x2ctpa/core/device.h"

namespace x2ctpa {

void use_threads_here(int64_t count) {
  // LibTorch sets a thread's count at its first loop; asking for it first makes ours the last word.
  at::get_num_threads();
  omp_set_num_threads(int(std::max<int64_t>(1, count)));
}

void for_each_parallel(int64_t count, int64_t workers, const std::function<void(int64_t)>& body) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  std::exception_ptr first_error;
  std::mutex mutex;
  workers = std::clamp<int64_t>(workers, 1, std::max<int64_t>(1, count));
  auto work = [&] {
    use_threads_here(available_cores() / workers);
    for (int64_t i = next++; i < count && !stop; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!first_error) first_error = std::current_exception();
        stop = true;
      }
    }
  };
  std::vector<std::thread> threads;
  for (int64_t w = 0; w < workers; ++w) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace x2ctpa
