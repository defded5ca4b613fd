// Reads the page of a report as a browser would.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "x2ctpa/core/files.h"

namespace x2ctpa::test {

/// The JSON in the script element `id`, which ends where a browser ends it.
inline nlohmann::json embedded_json(const std::filesystem::path& page, const std::string& id) {
  const std::string html = read_file(page), open = "id=\"" + id + "\">";
  const size_t begin = html.find(open) + open.size();
  return nlohmann::json::parse(html.substr(begin, html.find("</script", begin) - begin));
}

inline int64_t occurrences(const std::string& text, const std::string& word) {
  int64_t count = 0;
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++count;
  return count;
}

/// The text that the page's script shows, by tests/commands/report_text.js; none without Node.js.
inline std::optional<std::string> shown_text(const std::filesystem::path& page) {
  if (std::system("command -v node >/dev/null") != 0) return std::nullopt;
  const std::string line =
      "node " X2CTPA_SOURCE_DIR "/tests/commands/report_text.js " + page.string() + " 2>&1";
  FILE* pipe = popen(line.c_str(), "r");
  std::string text;
  std::array<char, 4096> buffer{};
  for (size_t n; pipe && (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    text.append(buffer.data(), n);
  if (!pipe || pclose(pipe) != 0) text += "\nreport_text.js failed";
  return text;
}

}  // namespace x2ctpa::test
