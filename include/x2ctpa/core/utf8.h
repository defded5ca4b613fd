// Text that may hold bytes that are no UTF-8: names of files are bytes, JSON and tables are not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace x2ctpa {

/// A character of a text, or a byte that belongs to none.
struct Utf8Part {
  char32_t code = 0;  ///< of the character; 0xFFFD for a stray byte
  std::string_view bytes;
  bool stray = false;
};

/// The parts of `text` in their order; they point into it.
std::vector<Utf8Part> utf8_parts(std::string_view text);

/// `text` with each stray byte written as "\xE4". Valid text stays as it is.
std::string valid_utf8(std::string_view text);

}  // namespace x2ctpa
