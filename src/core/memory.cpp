#include "x2ctpa/core/memory.h"

#include <ATen/DeviceAccelerator.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

#include "core/buffer_pool.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

constexpr int64_t no_limit = std::numeric_limits<int64_t>::max();

// The number in a file of one; none for "max" or a file that does not exist.
std::optional<int64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  int64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

// The value beside `key` in lines of "key value".
int64_t field_in(const fs::path& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    std::string name;
    int64_t value = 0;
    if (fields >> name >> value && name == key) return value;
  }
  return 0;
}

struct GroupFiles {
  const char *limit, *usage, *reclaimable;
};

// What is left in the group at `path` below `mount` and in the groups that hold it. Pages of files
// that nobody used lately count as free: the kernel drops them first.
int64_t left_in_groups(const fs::path& mount, fs::path path, const GroupFiles& files) {
  int64_t left = no_limit;
  for (path = path.relative_path();; path = path.parent_path()) {
    const fs::path group = mount / path;
    const auto limit = number_in(group / files.limit), usage = number_in(group / files.usage);
    // Version 1 states "no limit" as a number beyond every memory.
    if (limit && usage && *limit < no_limit / 2) {
      const int64_t used = *usage - field_in(group / "memory.stat", files.reclaimable);
      left = std::min(left, std::max<int64_t>(*limit - used, 0));
    }
    if (path.empty()) return left;
  }
}

int64_t left_in_control_groups(const fs::path& root) {
  int64_t left = no_limit;
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const auto controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      left = std::min(left, left_in_groups(root / "sys/fs/cgroup", path,
                                           {"memory.max", "memory.current", "inactive_file"}));
    } else if (controllers.find(",memory,") != std::string::npos) {
      left = std::min(left, left_in_groups(root / "sys/fs/cgroup/memory", path,
                                           {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                            "total_inactive_file"}));
    }
  }
  return left;
}

// Pages of the process in bytes; `field` 0 is its address space, 1 what is in memory.
int64_t process_bytes(const fs::path& root, int field) {
  std::ifstream in(root / "proc/self/statm");
  int64_t pages = 0;
  for (int i = 0; i <= field; ++i) in >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

int64_t total_memory(c10::Device device) {
  if (device.is_cuda()) {
    return int64_t(at::accelerator::getMemoryInfo(std::max<int>(device.index(), 0)).second);
  }
  return field_in("/proc/meminfo", "MemTotal:") * 1024;
}

// Freed by the program but not given back to the system.
int64_t kept_by_allocator() {
  return int64_t(mallinfo2().fordblks) + BufferPool::instance().kept_bytes();
}

}  // namespace

int64_t available_system_memory(const fs::path& root) {
  int64_t left = no_limit;
  const int64_t kilobytes = field_in(root / "proc/meminfo", "MemAvailable:");
  if (kilobytes > 0) left = kilobytes * 1024;
  left = std::min(left, left_in_control_groups(root));
  rlimit address_space{};
  if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY) {
    left = std::min(left,
                    std::max<int64_t>(int64_t(address_space.rlim_cur) - process_bytes(root, 0), 0));
  }
  return left;
}

int64_t available_memory(c10::Device device) {
  if (device.is_cuda()) {
    const auto index = device.has_index() ? device.index() : c10::DeviceIndex{0};
    return int64_t(at::accelerator::getMemoryInfo(index).first);
  }
  const int64_t left = available_system_memory();
  return left == no_limit ? left : left + kept_by_allocator();
}

void release_freed_memory() {
  malloc_trim(0);
  BufferPool::instance().release();
}

int64_t memory_budget(const RuntimeOptions& options, c10::Device device) {
  if (options.deterministic) {
    return options.memory_gb > 0 ? int64_t(options.memory_gb * 1e9) : total_memory(device) / 2;
  }
  const int64_t available = available_memory(device);
  if (options.memory_gb <= 0) return available / 5 * 4;
  auto limit = int64_t(options.memory_gb * 1e9);
  if (!device.is_cuda()) limit -= process_bytes("/", 1) - kept_by_allocator();
  return std::clamp<int64_t>(limit, 0, available);
}

}  // namespace x2ctpa
