#include "imaging/dicom/dicom_structure.h"

#include <fmt/format.h>
#include <gdcmMediaStorage.h>
#include <gdcmPhotometricInterpretation.h>
#include <gdcmTransferSyntax.h>
#include <zlib.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

#include "imaging/dicom/byte_window.h"
#include "imaging/dicom/jpeg_fragment.h"

namespace x2ctpa {
namespace {

constexpr uint32_t undefined = 0xFFFFFFFF;
constexpr int deepest = 16;
constexpr uint32_t item = 0xFFFEE000, item_end = 0xFFFEE00D, sequence_end = 0xFFFEE0DD;
constexpr uint32_t pixel_data = 0x7FE00010;

// Thrown within this file; walk_dicom() turns it into DicomStructure::fault.
struct Fault {
  std::string reason;
};

struct Element {
  uint32_t tag = 0;
  std::string vr;  // empty: implicit
  uint32_t length = 0;
  uint64_t at = 0;  // of the value
};

// The VR that an explicit header must give, and the count of bytes (0: any), for what GDCM
// interprets.
struct Known {
  uint32_t tag;
  const char* vr;
  uint32_t length;
};
constexpr Known known[] = {
    {0x00020000, "UL", 4}, {0x00020001, "OB", 2}, {0x00020010, "UI", 0}, {0x00080005, "CS", 0},
    {0x00080008, "CS", 0}, {0x00080016, "UI", 0}, {0x00080060, "CS", 0}, {0x00180050, "DS", 0},
    {0x00180088, "DS", 0}, {0x00181164, "DS", 0}, {0x00200032, "DS", 0}, {0x00200037, "DS", 0},
    {0x00280002, "US", 2}, {0x00280004, "CS", 0}, {0x00280006, "US", 2}, {0x00280008, "IS", 0},
    {0x00280010, "US", 2}, {0x00280011, "US", 2}, {0x00280030, "DS", 0}, {0x00280100, "US", 2},
    {0x00280101, "US", 2}, {0x00280102, "US", 2}, {0x00280103, "US", 2}, {0x00281050, "DS", 0},
    {0x00281051, "DS", 0}, {0x00281052, "DS", 0}, {0x00281053, "DS", 0}};

bool listed(std::string_view list, const std::string& vr) {
  return list.find(vr) != std::string_view::npos;
}

// The size of one value of a binary VR; 1 for the others.
uint32_t unit_of(const std::string& vr) {
  if (listed("US SS", vr)) return 2;
  if (listed("UL SL FL AT OF OL", vr)) return 4;
  if (listed("FD OD SV UV OV", vr)) return 8;
  return 1;
}

class Walk {
 public:
  explicit Walk(ByteWindow& bytes) : bytes_(bytes) {}

  // Reads the meta information, if any; returns where the data set begins.
  uint64_t meta();
  void data_set(uint64_t at);
  void guess_syntax(uint64_t at);

  bool deflated = false;
  DicomStructure found;

 private:
  [[noreturn]] static void fail(uint64_t at, const std::string& what) {
    throw Fault{fmt::format("{} at byte {}", what, at)};
  }
  const unsigned char* need(uint64_t at, uint64_t count, uint64_t end) {
    const auto* p = at <= end && count <= end - at ? bytes_.view(at, count) : nullptr;
    if (!p) fail(at, "it ends within an element");
    return p;
  }
  uint32_t number(const unsigned char* p, int count) const {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i) value = value << 8 | p[little_ ? count - 1 - i : i];
    return value;
  }
  uint32_t tag_at(uint64_t at, uint64_t end) {
    const auto* p = need(at, 4, end);
    return number(p, 2) << 16 | number(p + 2, 2);
  }
  Element element(uint64_t at, uint64_t end);
  void set_syntax(const std::string& uid);
  void check_value(const Element& e);
  uint64_t elements(uint64_t at, uint64_t end, int depth, bool in_item_without_end);
  uint64_t sequence(const Element& e, uint64_t end, int depth);
  uint64_t fragments(uint64_t at, uint64_t end, int depth);
  void note_top_level(const Element& e);
  void check_pixel_format() const;
  void check_pixel_count();
  void check_kind() const;
  std::string text(const Element& e);

  ByteWindow& bytes_;
  bool explicit_ = true, little_ = true, jpeg_ = false;
  std::optional<uint32_t> bits_allocated_, bits_stored_, high_bit_, samples_, sign_, rows_,
      columns_;
  std::optional<uint32_t> pixel_bytes_;  // of pixels that are not compressed
  double frames_ = 1;
  std::string sop_class_;
  std::optional<std::string> recognition_code_;
};

Element Walk::element(uint64_t at, uint64_t end) {
  Element e;
  e.tag = tag_at(at, end);
  const bool delimiter = e.tag >> 16 == 0xFFFE;
  const auto* p = need(at, 8, end);
  e.at = at + 8;
  e.length = number(p + 4, 4);
  if (delimiter || !explicit_) return e;
  e.vr.assign(reinterpret_cast<const char*>(p + 4), 2);
  if (e.vr[0] < 'A' || e.vr[0] > 'Z' || e.vr[1] < 'A' || e.vr[1] > 'Z')
    fail(at, "no value representation");
  if (listed("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US", e.vr)) {
    e.length = number(p + 6, 2);
  } else if (listed("OB OD OF OL OV OW SQ SV UC UN UR UT UV", e.vr)) {
    e.length = number(need(at, 12, end) + 8, 4);
    e.at = at + 12;
  } else {
    fail(at, fmt::format("unknown value representation '{}'", e.vr));
  }
  return e;
}

std::string Walk::text(const Element& e) {
  const auto* p = need(e.at, std::min<uint32_t>(e.length, 128), bytes_.size());
  std::string value(reinterpret_cast<const char*>(p), std::min<uint32_t>(e.length, 128));
  while (!value.empty() && (value.back() == ' ' || value.back() == '\0')) value.pop_back();
  return value;
}

void Walk::set_syntax(const std::string& uid) {
  const auto type = gdcm::TransferSyntax::GetTSType(uid.c_str());
  if (type == gdcm::TransferSyntax::TS_END)
    throw Fault{fmt::format("unknown transfer syntax '{}'", uid)};
  deflated = type == gdcm::TransferSyntax::DeflatedExplicitVRLittleEndian;
  // GDCM decodes them with its JPEG library: 1.2.840.10008.1.2.4.50 to .70.
  jpeg_ = uid.starts_with("1.2.840.10008.1.2.4.") && uid.size() == 22 && uid[20] < '8';
  explicit_ = uid != "1.2.840.10008.1.2" && uid != "1.2.840.113619.5.2";
  little_ = type != gdcm::TransferSyntax::ExplicitVRBigEndian;
}

void Walk::guess_syntax(uint64_t at) {
  const auto* p = need(at, 8, bytes_.size());
  little_ = !(p[0] == 0 && p[1] != 0);
  const auto upper = [](unsigned char c) { return c >= 'A' && c <= 'Z'; };
  explicit_ = upper(p[4]) && upper(p[5]);
}

uint64_t Walk::meta() {
  const auto* magic = bytes_.view(0, 132);
  uint64_t at = magic && std::memcmp(magic + 128, "DICM", 4) == 0 ? 132 : 0;
  const uint64_t first = at;
  std::optional<std::string> syntax;
  while (at < bytes_.size()) {
    const auto* p = need(at, 8, bytes_.size());
    if (p[0] != 2 || p[1] != 0) break;
    const Element e = element(at, bytes_.size());
    if (e.length > bytes_.size() - e.at) fail(at, "an element that is longer than the file");
    check_value(e);
    if (e.tag == 0x00020010) syntax = text(e);
    at = e.at + e.length;
  }
  if (at >= bytes_.size()) fail(at, "it ends within its meta information");
  if (syntax)
    set_syntax(*syntax);
  else if (at > first)
    fail(at, "meta information without a transfer syntax");
  else
    guess_syntax(at);
  return at;
}

void Walk::check_value(const Element& e) {
  if (e.length == undefined) return;
  if (const auto unit = unit_of(e.vr); e.length % unit != 0)
    fail(e.at, fmt::format("{} bytes of '{}'", e.length, e.vr));
  for (const auto& k : known) {
    if (k.tag != e.tag) continue;
    if (!e.vr.empty() && e.vr != "UN" && e.vr != k.vr)
      fail(e.at, fmt::format("value representation '{}' instead of {}", e.vr, k.vr));
    if (k.length != 0 && e.length != k.length)
      fail(e.at, fmt::format("{} bytes instead of {}", e.length, k.length));
  }
}

void Walk::note_top_level(const Element& e) {
  if (e.tag == 0x00080010) recognition_code_ = text(e);
  if (e.tag == 0x00080016) sop_class_ = text(e);
  if (e.tag == 0x00080060) found.modality = text(e);
  if (e.tag == pixel_data) {
    found.has_pixels = true;
    if (e.length != undefined) pixel_bytes_ = e.length;
  }
  if (e.tag == 0x00280008) frames_ = std::max(1.0, std::strtod(text(e).c_str(), nullptr));
  if (e.tag == 0x00280004) {
    if (const auto name = text(e); gdcm::PhotometricInterpretation::GetPIType(name.c_str()) ==
                                   gdcm::PhotometricInterpretation::PI_END)
      fail(e.at, fmt::format("unknown photometric interpretation '{}'", name));
    return;
  }
  if (e.length != 2) return;
  const uint32_t value = number(need(e.at, 2, bytes_.size()), 2);
  if (e.tag == 0x00280002) samples_ = value;
  if (e.tag == 0x00280010) rows_ = value;
  if (e.tag == 0x00280011) columns_ = value;
  if (e.tag == 0x00280100) bits_allocated_ = value;
  if (e.tag == 0x00280101) bits_stored_ = value;
  if (e.tag == 0x00280102) high_bit_ = value;
  if (e.tag == 0x00280103) sign_ = value;
}

void Walk::check_pixel_format() const {
  const auto allocated = bits_allocated_.value_or(16);
  if (allocated != 1 && allocated != 8 && allocated != 12 && allocated != 16 && allocated != 32 &&
      allocated != 64)
    throw Fault{fmt::format("BitsAllocated is {}", allocated)};
  if (bits_stored_ && (*bits_stored_ == 0 || *bits_stored_ > allocated))
    throw Fault{fmt::format("BitsStored is {} of {} allocated", *bits_stored_, allocated)};
  if (high_bit_ && *high_bit_ >= allocated)
    throw Fault{fmt::format("HighBit is {} of {} allocated", *high_bit_, allocated)};
  if (samples_ && *samples_ != 1 && *samples_ != 3 && *samples_ != 4)
    throw Fault{fmt::format("SamplesPerPixel is {}", *samples_)};
  if (sign_ && *sign_ > 1) throw Fault{fmt::format("PixelRepresentation is {}", *sign_)};
}

// GDCM would fill what is missing with zeros. Compressed pixels tell only when they are decoded.
void Walk::check_pixel_count() {
  if (!pixel_bytes_) return;
  const double needed = frames_ * rows_.value_or(0) * columns_.value_or(0) * samples_.value_or(1) *
                        bits_allocated_.value_or(16) / 8.0;
  if (*pixel_bytes_ < std::floor(needed)) found.pixels_cut = true;
}

// GDCM reads files of an unknown SOP class by their ACR-NEMA recognition code and asserts that it
// knows it.
void Walk::check_kind() const {
  if (!recognition_code_ ||
      gdcm::MediaStorage::IsImage(gdcm::MediaStorage::GetMSType(sop_class_.c_str())))
    return;
  for (const char* code : {"ACR-NEMA 1.0", "ACR-NEMA 2.0", "ACRNEMA_LIBIDO_1.1"})
    if (*recognition_code_ == code) return;
  throw Fault{fmt::format("neither a SOP class of images ('{}') nor ACR-NEMA ('{}')", sop_class_,
                          *recognition_code_)};
}

uint64_t Walk::elements(uint64_t at, uint64_t end, int depth, bool in_item_without_end) {
  while (at < end) {
    const Element e = element(at, end);
    if (e.tag >> 16 == 0xFFFE) {
      if (e.tag == item_end && in_item_without_end && e.length == 0) return e.at;
      fail(at, "a sequence delimiter out of place");
    }
    const bool cut = e.length != undefined && e.length > end - e.at;
    if (cut && depth == 0 && e.tag == pixel_data) {
      found.has_pixels = found.pixels_cut = true;
      return end;
    }
    if (cut) fail(at, "an element that is longer than what holds it");
    check_value(e);
    if (depth == 0) note_top_level(e);
    if (e.tag == pixel_data && e.length == undefined) {
      at = fragments(e.at, end, depth);
      if (found.pixels_cut) return end;
    } else if (e.vr == "SQ" || e.length == undefined) {
      if (e.length == undefined && !e.vr.empty() && e.vr != "SQ" && e.vr != "UN")
        fail(at, "a value without length");
      at = sequence(e, end, depth + 1);
    } else {
      at = e.at + e.length;
    }
  }
  if (in_item_without_end) fail(at, "an item without end");
  return at;
}

uint64_t Walk::sequence(const Element& e, uint64_t end, int depth) {
  if (depth > deepest) fail(e.at, "sequences nested too deeply");
  const bool open = e.length == undefined;
  // PS3.5, 6.2.2: a UN of undefined length holds a sequence in implicit little endian.
  const bool was_explicit = explicit_, was_little = little_;
  const uint64_t stop = open ? end : e.at + e.length;
  uint64_t at = e.at;
  while (open || at < stop) {
    const Element i = element(at, stop);
    if (open && i.tag == sequence_end && i.length == 0) {
      explicit_ = was_explicit, little_ = was_little;
      return i.at;
    }
    if (i.tag != item) fail(at, "no item where a sequence needs one");
    if (i.length != undefined && i.length > stop - i.at)
      fail(at, "an item that is longer than its sequence");
    if (e.vr == "UN") explicit_ = false, little_ = true;
    at = elements(i.at, i.length == undefined ? stop : i.at + i.length, depth,
                  i.length == undefined);
    explicit_ = was_explicit, little_ = was_little;
  }
  return at;
}

uint64_t Walk::fragments(uint64_t at, uint64_t end, int depth) {
  // Of an icon, which has a header of its own, nothing is known here.
  JpegExpectation expected;
  if (depth == 0) expected = {rows_.value_or(0), columns_.value_or(0), bits_stored_.value_or(16)};
  while (true) {
    if (end - at < 8) break;
    const Element i = element(at, end);
    if (i.tag == sequence_end && i.length == 0) return i.at;
    if (i.tag != item) fail(at, "no fragment where the pixel data need one");
    if (i.length > end - i.at) break;
    if (const auto fault = jpeg_fault(bytes_, i.at, i.length, expected); jpeg_ && !fault.empty())
      fail(i.at, fault);
    at = i.at + i.length;
  }
  found.pixels_cut = true;
  return end;
}

void Walk::data_set(uint64_t at) {
  elements(at, bytes_.size(), 0, false);
  check_pixel_format();
  check_pixel_count();
  check_kind();
}

// A deflated data set (PS3.5, A.5) unpacked; a null byte may follow it.
std::string inflated(const std::filesystem::path& file, uint64_t at) {
  constexpr size_t largest = size_t{1} << 29;
  std::ifstream in(file, std::ios::binary);
  in.seekg(std::streamoff(at));
  std::string packed((std::istreambuf_iterator<char>(in)), {}), bytes;
  z_stream stream{};
  if (packed.size() > largest || inflateInit2(&stream, -MAX_WBITS) != Z_OK)
    throw Fault{"its deflated data are too large"};
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  int status = Z_OK;
  std::vector<char> chunk(1 << 20);
  while (status == Z_OK && bytes.size() < largest) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    status = inflate(&stream, Z_NO_FLUSH);
    bytes.append(chunk.data(), chunk.size() - stream.avail_out);
  }
  const bool whole = status == Z_STREAM_END && stream.avail_in <= 1;
  inflateEnd(&stream);
  if (status == Z_OK && bytes.size() >= largest) throw Fault{"its deflated data are too large"};
  if (!whole) throw Fault{"its deflated data are damaged"};
  return bytes;
}

}  // namespace

DicomStructure walk_dicom(const std::filesystem::path& file) {
  DicomStructure found;
  try {
    ByteWindow bytes(file);
    Walk walk(bytes);
    const uint64_t at = walk.meta();
    if (walk.deflated) {
      ByteWindow unpacked(inflated(file, at));
      Walk inner(unpacked);
      inner.data_set(0);
      found = inner.found;
    } else {
      walk.data_set(at);
      found = walk.found;
    }
  } catch (const Fault& fault) {
    found.fault = fault.reason;
  }
  return found;
}

}  // namespace x2ctpa
