// The text header of a MetaImage, read before ITK does: its parser writes past its fields where a
// name, a text or the number of dimensions is too long for them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace x2ctpa {

/// Text without the blanks around it.
std::string trimmed(std::string text);

struct MetaImageHeader {
  std::map<std::string, std::string> values;  ///< of "Key = value"
  int64_t bytes = 0;                          ///< that the header takes

  /// Throws Error with the line for what is no such header, or none that ITK survives.
  static MetaImageHeader read(const std::filesystem::path& file);

  std::string text(const std::string& key) const;  ///< empty: absent
  double number(const std::string& key, double otherwise) const;
  bool is_true(const std::string& key) const;
};

}  // namespace x2ctpa
