#include "core/buffer_pool.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

namespace x2ctpa {
namespace {

// What one entry of the page tables' last level but one covers: a huge page, or a table that moves
// as a whole.
constexpr size_t page = size_t{2} << 20;

// Fresh memory at a multiple of a page, or nullptr.
char* map_pages(size_t pages) {
  const size_t bytes = (pages + 1) * page;
  void* found = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(found);
  const size_t before = (page - reinterpret_cast<uintptr_t>(start) % page) % page;
  if (before > 0) munmap(start, before);
  munmap(start + before + pages * page, page - before);
  madvise(start + before, pages * page, MADV_HUGEPAGE);
  return start + before;
}

void move_page(char* from, char* to) {
  // Refused when the process has too many mappings: then `to` keeps the fresh page that it has.
  if (mremap(from, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) munmap(from, page);
}

}  // namespace

BufferPool& BufferPool::instance() {
  static auto* pool = new BufferPool;
  return *pool;
}

c10::DataPtr BufferPool::allocate(size_t bytes) {
  void* data = bytes < page ? c10::alloc_cpu(bytes) : take((bytes + page - 1) / page);
  return {data, data, &give_back, c10::kCPU};
}

char* BufferPool::take(size_t pages) {
  const std::lock_guard lock(mutex_);
  char* data = nullptr;
  if (const auto same = freed_.find(pages); same != freed_.end()) {
    data = same->second;
    freed_.erase(same);
  } else {
    data = map_pages(pages);
    if (data == nullptr) {
      throw c10::OutOfMemoryError(
          {__func__, __FILE__, __LINE__},
          fmt::format("not enough memory: {:.2f} GB for one tensor cannot be had",
                      double(pages * page) / 1e9));
    }
    fill_from_freed(data, pages);
  }
  used_.emplace(data, pages);
  return data;
}

void BufferPool::fill_from_freed(char* target, size_t pages) {
  while (pages > 0 && !freed_.empty()) {
    auto source = freed_.lower_bound(pages);
    if (source == freed_.end()) --source;
    const auto [held, start] = *source;
    freed_.erase(source);
    const size_t moved = std::min(pages, held);
    for (size_t i = 0; i < moved; ++i)
      move_page(start + (held - moved + i) * page, target + i * page);
    if (held > moved) freed_.emplace(held - moved, start);
    target += moved * page;
    pages -= moved;
  }
}

void BufferPool::give_back(void* data) {
  BufferPool& pool = instance();
  {
    const std::lock_guard lock(pool.mutex_);
    const auto found = pool.used_.find(data);
    if (found != pool.used_.end()) {
      pool.freed_.emplace(found->second, static_cast<char*>(data));
      pool.used_.erase(found);
      return;
    }
  }
  c10::free_cpu(data);
}

int64_t BufferPool::kept_bytes() {
  const std::lock_guard lock(mutex_);
  int64_t pages = 0;
  for (const auto& [held, start] : freed_) pages += int64_t(held);
  return pages * int64_t(page);
}

void BufferPool::release() {
  const std::lock_guard lock(mutex_);
  for (const auto& [held, start] : freed_) munmap(start, held * page);
  freed_.clear();
}

}  // namespace x2ctpa
