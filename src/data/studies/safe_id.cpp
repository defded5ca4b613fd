// Ids that are safe as names of files, with the letters of other alphabets written in ASCII.
#include <fmt/format.h>

#include <array>
#include <cctype>
#include <cstdint>
#include <string>
#include <string_view>

#include "x2ctpa/core/files.h"
#include "x2ctpa/core/utf8.h"
#include "x2ctpa/data/studies/manifest.h"

namespace x2ctpa {
namespace {

// U+00C0 to U+00FF.
constexpr std::array<const char*, 64> latin_1{
    "A", "A", "A", "A", "Ae", "Aa", "Ae", "C", "E",  "E", "E", "E", "I",  "I", "I",  "I",
    "D", "N", "O", "O", "O",  "O",  "Oe", "_", "Oe", "U", "U", "U", "Ue", "Y", "Th", "ss",
    "a", "a", "a", "a", "ae", "aa", "ae", "c", "e",  "e", "e", "e", "i",  "i", "i",  "i",
    "d", "n", "o", "o", "o",  "o",  "oe", "_", "oe", "u", "u", "u", "ue", "y", "th", "y"};
// U+0100 to U+017F, but for the four ligatures, which stand as their first letter here.
constexpr std::string_view latin_a =
    "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlLlLlNnNnNnnNnOoOoOoOoRrRrRrSsSs"
    "SsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";
static_assert(latin_a.size() == 128);
// U+0430 to U+044F; capitals lie 32 below.
constexpr std::array<const char*, 32> cyrillic{
    "a", "b", "v", "g", "d", "e", "zh", "z",  "i",  "y",    "k", "l", "m", "n", "o",  "p",
    "r", "s", "t", "u", "f", "h", "ts", "ch", "sh", "shch", "",  "y", "",  "e", "yu", "ya"};

bool is_combining(char32_t code) { return code >= 0x300 && code < 0x370; }

std::string letter_in_ascii(char32_t code) {
  if (code >= 0xC0 && code < 0x100) return latin_1[code - 0xC0];
  if (code == 0x132 || code == 0x133) return code == 0x132 ? "IJ" : "ij";
  if (code == 0x152 || code == 0x153) return code == 0x152 ? "Oe" : "oe";
  if (code >= 0x100 && code < 0x180) return std::string(1, latin_a[code - 0x100]);
  if (code == 0x401 || code == 0x451) return code == 0x401 ? "E" : "e";
  if (code >= 0x410 && code < 0x450) {
    std::string letters = cyrillic[(code - 0x410) % 32];
    if (code < 0x430 && !letters.empty())
      letters[0] = char(std::toupper(static_cast<unsigned char>(letters[0])));
    return letters;
  }
  // Signs, and the punctuation of Latin and of East Asian text, tell no two names apart.
  if (code < 0xC0 || (code >= 0x2000 && code < 0x2070) || (code >= 0x3000 && code < 0x3003))
    return "_";
  return fmt::format("u{:04X}", uint32_t(code));
}

}  // namespace

std::string safe_id(const std::string& text) {
  std::string id;
  for (const Utf8Part& part : utf8_parts(text)) {
    const bool ascii = part.bytes.size() == 1;
    const char c = part.bytes[0];
    if (part.stray) {
      id += fmt::format("x{:02X}", static_cast<unsigned char>(c));
    } else if (ascii) {
      const bool plain =
          std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
      id += plain ? c : '_';
    } else if (is_combining(part.code)) {
      // macOS writes an umlaut as a letter and a mark.
      const bool umlaut = part.code == 0x308 && !id.empty() &&
                          std::string_view("aouAOU").find(id.back()) != std::string_view::npos;
      if (umlaut) id += 'e';
    } else {
      id += letter_in_ascii(part.code);
    }
  }
  // A leading dot would hide the file, a leading dash look like a flag.
  if (id.empty() || id[0] == '.' || id[0] == '-') id = "_" + id;
  // Names of files have 255 bytes, and ids get beginnings and endings.
  if (id.size() > longest_id) id = id.substr(0, longest_id - 9) + '_' + sha256(text).substr(0, 8);
  // NIfTI's library takes ".nii" out of "scan.nii.nii".
  if (id.ends_with(".nii")) id[id.size() - 4] = '_';
  return id;
}

}  // namespace x2ctpa
