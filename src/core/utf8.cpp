#include "x2ctpa/core/utf8.h"

#include <fmt/format.h>

#include <algorithm>

namespace x2ctpa {
namespace {

struct Form {
  size_t length = 0;
  char32_t first_bits = 0, least = 0;
};

// How many bytes a character has by its first one; 0: none begins so.
Form form_of(unsigned char lead) {
  if (lead < 0x80) return {1, lead, 0};
  if (lead >> 5 == 0x06) return {2, char32_t(lead & 0x1F), 0x80};
  if (lead >> 4 == 0x0E) return {3, char32_t(lead & 0x0F), 0x800};
  if (lead >> 3 == 0x1E) return {4, char32_t(lead & 0x07), 0x10000};
  return {};
}

}  // namespace

std::vector<Utf8Part> utf8_parts(std::string_view text) {
  std::vector<Utf8Part> parts;
  for (size_t at = 0; at < text.size();) {
    const Form form = form_of(static_cast<unsigned char>(text[at]));
    char32_t code = form.first_bits;
    bool good = form.length > 0 && at + form.length <= text.size();
    for (size_t i = 1; good && i < form.length; ++i) {
      const auto byte = static_cast<unsigned char>(text[at + i]);
      good = byte >> 6 == 0x02;
      code = code << 6 | (byte & 0x3F);
    }
    good = good && code >= form.least && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    const size_t length = good ? form.length : 1;
    parts.push_back({good ? code : char32_t(0xFFFD), text.substr(at, length), !good});
    at += length;
  }
  return parts;
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  for (const Utf8Part& part : utf8_parts(text)) {
    if (part.stray)
      valid += fmt::format("\\x{:02X}", static_cast<unsigned char>(part.bytes[0]));
    else
      valid += part.bytes;
  }
  return valid;
}

}  // namespace x2ctpa
