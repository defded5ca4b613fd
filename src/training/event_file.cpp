#include "x2ctpa/training/event_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

static_assert(std::endian::native == std::endian::little, "both formats are little-endian");

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

// Protocol buffers: a field is a key (number << 3 | wire type) and its value.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out += char(value | 128);
  return out + char(value);
}
std::string integer_field(int number, int64_t value) {
  return varint(uint64_t(number) << 3) + varint(uint64_t(value));
}
std::string double_field(int number, double value) {
  return varint(uint64_t(number) << 3 | 1) + raw(value);
}
std::string float_field(int number, float value) {
  return varint(uint64_t(number) << 3 | 5) + raw(value);
}
std::string bytes_field(int number, std::string_view value) {
  return varint(uint64_t(number) << 3 | 2) + varint(value.size()) + std::string(value);
}

// Event: wall_time = 1, step = 2, then `what`.
std::string event(int64_t step, const std::string& what) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return double_field(1, std::chrono::duration<double>(now).count()) + integer_field(2, step) +
         what;
}

// Event.summary = 5 with one Summary.value = 1.
std::string summary(const std::string& value) { return bytes_field(5, bytes_field(1, value)); }

uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

// The big-endian number at `at` of a PNG's header.
int64_t png_size(std::string_view png, size_t at) {
  int64_t value = 0;
  for (size_t i = at; i < at + 4; ++i) value = value << 8 | uint8_t(png[i]);
  return value;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> out{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
      out[i] = value;
    }
    return out;
  }();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ uint8_t(c)) & 255];
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t first_step) {
  std::filesystem::create_directories(folder);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  // TensorBoard reads the files of a folder in the order of their names, and several may begin in
  // one second.
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  path_ = folder /
          fmt::format("events.out.tfevents.{:010}.{:03}.{}.x2ctpa", ms / 1000, ms % 1000, getpid());
  stream_.open(path_, std::ios::binary | std::ios::app);
  record(event(0, bytes_field(3, "brain.Event:2")));                         // file_version
  record(event(first_step, bytes_field(7, integer_field(1, /*START*/ 1))));  // session_log.status
  flush();
}

void EventFile::record(std::string_view content) {
  const std::string length = raw(uint64_t(content.size()));
  stream_ << length << raw(masked(crc32c(length))) << content << raw(masked(crc32c(content)));
}

void EventFile::scalar(const std::string& tag, int64_t step, double value) {
  record(event(step, summary(bytes_field(1, tag) + float_field(2, float(value)))));
}

void EventFile::picture(const std::string& tag, int64_t step, std::string_view png) {
  if (png.size() < 24)
    throw Error(fmt::format("{}: expected the bytes of a PNG file, found {}", tag, png.size()));
  // Summary.Image: height = 1, width = 2, colorspace = 3 (1: grey), encoded_image_string = 4
  const std::string image = integer_field(1, png_size(png, 20)) +
                            integer_field(2, png_size(png, 16)) + integer_field(3, 1) +
                            bytes_field(4, png);
  record(event(step, summary(bytes_field(1, tag) + bytes_field(4, image))));
}

void EventFile::flush() {
  errno = 0;
  stream_.flush();
  if (!stream_)
    throw Error(fmt::format("cannot write {}: {}", path_.string(),
                            std::strerror(errno != 0 ? errno : EIO)));
}

}  // namespace x2ctpa
