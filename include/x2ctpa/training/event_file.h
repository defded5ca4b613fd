// TensorBoard event files: TFRecords of protocol buffers (tensorflow/core/util/event.proto and
// tensorflow/core/framework/summary.proto), written by hand: TensorBoard's own writer is Python,
// TensorFlow's comes with TensorFlow, and protobuf with its generated code would be more than the
// two kinds of record here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace x2ctpa {

class EventFile {
 public:
  /// A new file in `folder`. TensorBoard forgets what earlier files of the folder say about
  /// `first_step` and later. Throws Error when it cannot be written.
  EventFile(const std::filesystem::path& folder, int64_t first_step);

  void scalar(const std::string& tag, int64_t step, double value);
  /// `png`: the bytes of a PNG file.
  void picture(const std::string& tag, int64_t step, std::string_view png);
  /// Brings everything to the disk's cache. Throws Error (disk full).
  void flush();

 private:
  void record(std::string_view event);

  std::filesystem::path path_;
  std::ofstream stream_;
};

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of TFRecords.
uint32_t crc32c(std::string_view bytes);

}  // namespace x2ctpa
