// Threads of this module.
#pragma once

#include <cstdint>
#include <functional>

namespace x2ctpa {

/// Makes LibTorch and OpenMP use `count` threads in loops started by the calling thread alone.
void use_threads_here(int64_t count);

/// Calls `body(0)` ... `body(count - 1)` on `workers` threads, in order of index as threads come
/// free. After an exception no new call starts; the first exception is thrown when all have ended.
void for_each_parallel(int64_t count, int64_t workers, const std::function<void(int64_t)>& body);

}  // namespace x2ctpa
