#include "imaging/dicom/jpeg_fragment.h"

#include <fmt/format.h>

#include <cstring>

namespace x2ctpa {
namespace {

constexpr int start_of_picture = 0xD8, start_of_scan = 0xDA, end_of_picture = 0xD9;

bool is_frame(int marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}
bool stands_alone(int marker) { return marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7); }

// The decoder of GDCM that takes so many bits.
int64_t decoder_of(int64_t bits) { return bits <= 8 ? 8 : bits <= 12 ? 12 : 16; }

struct JpegFrame {
  int marker = 0;  // 0: there is no frame
  int64_t bits = 0, rows = 0, columns = 0, components = 0;
};

class JpegHeader {
 public:
  JpegHeader(ByteWindow& bytes, uint64_t at, uint64_t end) : bytes_(bytes), at_(at), end_(end) {}

  // Walks to the first scan; returns a fault or "".
  std::string walk();
  std::string fault_of_frame(const JpegExpectation& expected) const;

 private:
  const unsigned char* view(uint64_t count) {
    return count <= end_ - at_ ? bytes_.view(at_, count) : nullptr;
  }
  std::string segment(int marker, const unsigned char* data, uint64_t size);

  ByteWindow& bytes_;
  uint64_t at_, end_;
  JpegFrame frame_;
  int adobe_transform_ = 0;
  bool jfif_ = false;
};

std::string JpegHeader::segment(int marker, const unsigned char* data, uint64_t size) {
  if (is_frame(marker)) {
    if (size < 6) return "a JPEG whose frame is cut";
    frame_ = JpegFrame{marker, data[0], data[1] << 8 | data[2], data[3] << 8 | data[4], data[5]};
  }
  if (marker == 0xE0 && size >= 12 && std::memcmp(data, "JFIF", 5) == 0) {
    jfif_ = true;
    if (data[5] != 1) return fmt::format("a JPEG of JFIF version {}", data[5]);
  }
  if (marker == 0xEE && size >= 12 && std::memcmp(data, "Adobe", 5) == 0)
    adobe_transform_ = data[11];
  return "";
}

std::string JpegHeader::walk() {
  const std::string cut = "a JPEG without a scan";
  at_ += 2;
  while (true) {
    const auto* p = view(2);
    if (!p) return cut;
    if (p[0] != 0xFF) return fmt::format("bytes out of place in a JPEG's header at byte {}", at_);
    const int marker = p[1];
    if (marker == 0xFF) {
      ++at_;
      continue;
    }
    at_ += 2;
    if (stands_alone(marker)) continue;
    if (marker == 0 || marker == end_of_picture || marker == start_of_picture) return cut;
    const auto* head = view(2);
    const uint64_t size = head ? uint64_t(head[0] << 8 | head[1]) : 0;
    const auto* whole = size >= 2 ? view(size) : nullptr;
    if (!whole) return cut;
    if (marker == start_of_scan) return frame_.marker ? "" : "a JPEG without a frame";
    if (auto fault = segment(marker, whole + 2, size - 2); !fault.empty()) return fault;
    at_ += size;
  }
}

std::string JpegHeader::fault_of_frame(const JpegExpectation& expected) const {
  const JpegFrame& f = frame_;
  if (f.components != 1 && f.components != 3)
    return fmt::format("a JPEG of {} components", f.components);
  if (f.components == 3 && !jfif_ && adobe_transform_ > 1)
    return fmt::format("a JPEG of colour transform {}", adobe_transform_);
  const bool lossless = f.marker == 0xC3;
  if (lossless ? f.bits < 2 || f.bits > 16 : f.bits != 8 && f.bits != 12)
    return fmt::format("a JPEG of {} bits", f.bits);
  // Lossless ones of fewer bits fit into any decoder.
  const int64_t decoder = expected.bits_stored > 0 ? decoder_of(expected.bits_stored) : 0;
  const bool as_announced = lossless ? f.bits <= decoder : decoder_of(f.bits) == decoder;
  if (!as_announced && decoder_of(f.bits) != f.bits)
    return fmt::format("a JPEG of {} bits where the header says {}", f.bits, expected.bits_stored);
  if ((expected.rows > 0 && f.rows != expected.rows) ||
      (expected.columns > 0 && f.columns != expected.columns))
    return fmt::format("a JPEG of {} x {} where the header says {} x {}", f.columns, f.rows,
                       expected.columns, expected.rows);
  return "";
}

}  // namespace

std::string jpeg_fault(ByteWindow& bytes, uint64_t at, uint64_t length,
                       const JpegExpectation& expected) {
  const auto* begin = length >= 3 ? bytes.view(at, 3) : nullptr;
  if (!begin || begin[0] != 0xFF || begin[1] != start_of_picture) return "";
  JpegHeader header(bytes, at, at + length);
  std::string fault = header.walk();
  return fault.empty() ? header.fault_of_frame(expected) : fault;
}

}  // namespace x2ctpa
