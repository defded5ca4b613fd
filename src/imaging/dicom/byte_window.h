// Random access to the bytes of a file through a small window, or to bytes in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace x2ctpa {

/// Bytes that are never read past their end.
class ByteWindow {
 public:
  explicit ByteWindow(const std::filesystem::path& file);
  explicit ByteWindow(std::string bytes);

  uint64_t size() const { return size_; }

  /// `count` (at most 65536) bytes at `at`, valid until the next call; nullptr past the end.
  const unsigned char* view(uint64_t at, uint64_t count);

 private:
  std::ifstream stream_;
  std::string window_;
  uint64_t window_at_ = 0, size_ = 0;
};

}  // namespace x2ctpa
