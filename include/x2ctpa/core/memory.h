// How much memory a computation may take.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>

#include "x2ctpa/core/device.h"

namespace x2ctpa {

/// Bytes that this process can still take: what the system has free, within the limits of its
/// control groups (v1 and v2) and of `ulimit -v`. `root` holds proc/ and sys/.
int64_t available_system_memory(const std::filesystem::path& root = "/");

/// Bytes that can still be taken on `device`. On the CPU: the system's memory, and what the
/// program keeps after freeing it. On a GPU: what its driver reports as free.
int64_t available_memory(c10::Device device);

/// Gives what the program keeps after freeing it back to the system.
void release_freed_memory();

/// Bytes that a computation may take on `device`: four fifths of what is available; with
/// options.memory_gb, what is left of that, or what is available if that is less. With
/// options.deterministic it does not depend on the moment, so that volumes are always cut alike:
/// memory_gb itself, or half of all memory.
int64_t memory_budget(const RuntimeOptions& options, c10::Device device);

}  // namespace x2ctpa
