#include "imaging/dicom/byte_window.h"

#include <algorithm>

namespace x2ctpa {

constexpr uint64_t window_bytes = 65536;

ByteWindow::ByteWindow(const std::filesystem::path& file) : stream_(file, std::ios::binary) {
  stream_.seekg(0, std::ios::end);
  const auto end = stream_.tellg();
  size_ = stream_ && end > 0 ? uint64_t(end) : 0;
}

ByteWindow::ByteWindow(std::string bytes) : window_(std::move(bytes)), size_(window_.size()) {}

const unsigned char* ByteWindow::view(uint64_t at, uint64_t count) {
  if (at > size_ || count > size_ - at) return nullptr;
  if (at < window_at_ || at + count > window_at_ + window_.size()) {
    if (!stream_.is_open() || count > window_bytes) return nullptr;
    window_.resize(size_t(std::min(window_bytes, size_ - at)));
    window_at_ = at;
    stream_.clear();
    stream_.seekg(std::streamoff(at));
    stream_.read(window_.data(), std::streamsize(window_.size()));
    if (uint64_t(std::max<std::streamsize>(stream_.gcount(), 0)) < window_.size()) {
      window_.clear();
      return nullptr;
    }
  }
  return reinterpret_cast<const unsigned char*>(window_.data()) + (at - window_at_);
}

}  // namespace x2ctpa
