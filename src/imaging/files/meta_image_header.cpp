#include "imaging/files/meta_image_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <string_view>
#include <system_error>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

constexpr int most_lines = 1000;
// The library's fields hold 255 bytes; those that ITK's users add, such as DICOM tags, more.
constexpr size_t longest_key = 200, longest_value = 250, longest_line = 4000;
constexpr std::string_view last_key = "ElementDataFile";

bool is_printable(const std::string& text) {
  return std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7F; });
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80; });
}

bool is_integer_between(const std::string& text, int64_t low, int64_t high) {
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() && value >= low &&
         value <= high;
}

// What is wrong with a line; "" when nothing is.
std::string fault_of(const std::string& key, const std::string& value) {
  if (key.empty() || key.size() > longest_key || !is_ascii(key) || !is_printable(key) ||
      key.find(':') != std::string::npos)
    return "its key is none";
  if (!is_printable(value)) return fmt::format("{} holds what is no text", key);
  const bool added = key.find('|') != std::string::npos;
  if (value.size() > longest_value && !added) return fmt::format("{} is too long", key);
  if (key == "NDims" && !is_integer_between(value, 1, 7))
    return fmt::format("NDims is '{}', expected 1 to 7", value);
  if (key == "ElementNumberOfChannels" && !is_integer_between(value, 1, 64))
    return fmt::format("ElementNumberOfChannels is '{}', expected 1 to 64", value);
  return "";
}

}  // namespace

std::string trimmed(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  const auto first = text.find_first_not_of(" \t");
  return first == std::string::npos ? std::string() : text.substr(first);
}

MetaImageHeader MetaImageHeader::read(const fs::path& file) {
  MetaImageHeader header;
  std::ifstream in(file, std::ios::binary);
  std::string line;
  for (int n = 1; n <= most_lines; ++n) {
    line.clear();
    for (char c = 0; line.size() <= longest_line && in.get(c) && c != '\n';) line += c;
    const auto equals = line.find('=');
    if (line.empty() && !in)
      throw Error(fmt::format("{}: truncated: its header has no end.", file.string()));
    const std::string key = equals == std::string::npos ? "" : trimmed(line.substr(0, equals));
    const std::string value = equals == std::string::npos ? "" : trimmed(line.substr(equals + 1));
    const std::string fault =
        line.size() > longest_line ? std::string("it is too long") : fault_of(key, value);
    if (!fault.empty())
      throw Error(
          fmt::format("{}: reading failed: line {} of its header: {}. Is it a file of another "
                      "format?",
                      file.string(), n, fault));
    header.values[key] = value;
    header.bytes += int64_t(line.size()) + 1;
    if (key == last_key) return header;
  }
  throw Error(fmt::format("{}: reading failed: its header has more than {} lines.", file.string(),
                          most_lines));
}

std::string MetaImageHeader::text(const std::string& key) const {
  const auto found = values.find(key);
  return found == values.end() ? "" : found->second;
}

double MetaImageHeader::number(const std::string& key, double otherwise) const {
  const std::string value = text(key);
  double number = otherwise;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return number;
}

bool MetaImageHeader::is_true(const std::string& key) const {
  const std::string value = text(key);
  return value.starts_with('T') || value.starts_with('t');
}

}  // namespace x2ctpa
