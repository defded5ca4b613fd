// Volume-sized buffers on the CPU that are reused without page faults.
#pragma once

#include <c10/core/Allocator.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>

namespace x2ctpa {

/// The allocator of CPU tensors of 2 MB and more; smaller ones are LibTorch's. Freed buffers keep
/// their pages. A buffer of another size gets the pages of freed ones, moved in the page tables
/// (mremap) instead of cleared anew, so that the program never holds more than what was once in use
/// together, in whole pages of 2 MB. A heap does not reach that: small blocks end up between large
/// ones.
class BufferPool final : public c10::Allocator {
 public:
  /// The one of the process. It is never destroyed, since tensors outlive every order of
  /// destruction.
  static BufferPool& instance();

  c10::DataPtr allocate(size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  /// Bytes that are held and not in use.
  int64_t kept_bytes();
  /// Gives what is not in use back to the system.
  void release();

 private:
  static void give_back(void* data);
  char* take(size_t pages);
  void fill_from_freed(char* target, size_t pages);

  std::mutex mutex_;
  std::unordered_map<void*, size_t> used_;  ///< address -> pages
  std::multimap<size_t, char*> freed_;      ///< pages -> address
};

}  // namespace x2ctpa
