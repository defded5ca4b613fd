#include "evaluation/report/page.h"

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace x2ctpa {

using nlohmann::ordered_json;

// Compiled in by x2ctpa_embed.
extern const char* const chart_js;
extern const char* const report_css;
extern const char* const report_html;
extern const char* const report_js;

namespace {

// JSON has '<' in strings only. Escaped there, no text can end the script element that holds it.
std::string script_safe(const std::string& json) {
  std::string out;
  for (const char c : json) {
    if (c == '<')
      out += "\\u003c";
    else
      out += c;
  }
  return out;
}

// In one pass, so that a text that looks like a placeholder is left as it is.
std::string filled(std::string_view page,
                   const std::map<std::string, std::string, std::less<>>& texts) {
  std::string out;
  for (size_t open = page.find("{{"); open != page.npos; open = page.find("{{")) {
    const size_t close = page.find("}}", open);
    out += page.substr(0, open);
    out += texts.find(page.substr(open + 2, close - open - 2))->second;
    page.remove_prefix(close + 2);
  }
  return out += page;
}

}  // namespace

std::string json_text(const ordered_json& json) {
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string report_page(const std::string& data, const ordered_json& pictures, bool charts) {
  return filled(report_html,
                {{"style", report_css},
                 {"data", script_safe(data)},
                 {"pictures", script_safe(pictures.dump(-1, ' ', false,
                                                        ordered_json::error_handler_t::replace))},
                 {"chart_js", charts ? chart_js : ""},
                 {"script", report_js}});
}

}  // namespace x2ctpa
