#include "x2ctpa/core/options.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>
#include <utility>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

std::string trim(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string number_text(double value) {
  // The shortest form that reads back to the same double.
  std::string text = fmt::format("{}", value);
  return text;
}

std::vector<std::string> split_list(const std::string& text) {
  std::string body = trim(text);
  if (body.size() >= 2 && body.front() == '[' && body.back() == ']')
    body = body.substr(1, body.size() - 2);
  std::vector<std::string> items;
  if (trim(body).empty()) return items;
  size_t start = 0;
  while (true) {
    const size_t comma = body.find(',', start);
    items.push_back(trim(body.substr(start, comma == std::string::npos ? comma : comma - start)));
    if (comma == std::string::npos) return items;
    start = comma + 1;
  }
}

// Thrown inside this file with the reason only; set() adds key, source and what is expected.
struct BadValue {};

int64_t parse_integer(const std::string& text) {
  size_t used = 0;
  try {
    const int64_t value = std::stoll(text, &used);
    if (used == text.size()) return value;
  } catch (const std::exception&) {
  }
  throw BadValue{};
}

double parse_real(const std::string& text) {
  size_t used = 0;
  try {
    const double value = std::stod(text, &used);
    if (used == text.size() && std::isfinite(value)) return value;
  } catch (const std::exception&) {
  }
  throw BadValue{};
}

bool same_but_for_case(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

bool parse_bool(const std::string& text) {
  for (const char* word : {"true", "yes", "on", "1"}) {
    if (same_but_for_case(text, word)) return true;
  }
  for (const char* word : {"false", "no", "off", "0"}) {
    if (same_but_for_case(text, word)) return false;
  }
  throw BadValue{};
}

void check_number(double value, const Limits& limits) {
  if (!(value >= limits.min && value <= limits.max)) throw BadValue{};
}

// The word as it is declared, whatever the case it was typed in.
std::string known_word(const std::string& word, const Limits& limits) {
  if (limits.choices.empty()) return word;
  for (const auto& choice : limits.choices) {
    if (same_but_for_case(word, choice)) return choice;
  }
  throw BadValue{};
}

void check_count(size_t count, const Limits& limits) {
  // An empty list always stands for "not given".
  if (limits.count > 0 && count > 0 && count != size_t(limits.count)) throw BadValue{};
}

struct Assign {
  const std::string& text;
  const Limits& limits;

  void operator()(bool* value) const { *value = parse_bool(text); }
  void operator()(int64_t* value) const {
    const int64_t parsed = parse_integer(text);
    check_number(double(parsed), limits);
    *value = parsed;
  }
  void operator()(double* value) const {
    const double parsed = parse_real(text);
    check_number(parsed, limits);
    *value = parsed;
  }
  void operator()(std::string* value) const { *value = known_word(text, limits); }
  void operator()(std::vector<int64_t>* value) const {
    std::vector<int64_t> parsed;
    for (const auto& item : split_list(text)) {
      parsed.push_back(parse_integer(item));
      check_number(double(parsed.back()), limits);
    }
    check_count(parsed.size(), limits);
    *value = parsed;
  }
  void operator()(std::vector<double>* value) const {
    std::vector<double> parsed;
    for (const auto& item : split_list(text)) {
      parsed.push_back(parse_real(item));
      check_number(parsed.back(), limits);
    }
    check_count(parsed.size(), limits);
    *value = parsed;
  }
  void operator()(std::vector<std::string>* value) const {
    auto parsed = split_list(text);
    for (auto& item : parsed) item = known_word(item, limits);
    check_count(parsed.size(), limits);
    *value = parsed;
  }
  void operator()(const OptionWord& value) const { value.set(known_word(text, limits)); }
};

struct ToText {
  std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
  std::string operator()(const int64_t* v) const { return std::to_string(*v); }
  std::string operator()(const double* v) const { return number_text(*v); }
  std::string operator()(const std::string* v) const { return *v; }
  std::string operator()(const std::vector<int64_t>* v) const {
    return fmt::format("[{}]", fmt::join(*v, ", "));
  }
  std::string operator()(const std::vector<double>* v) const {
    return fmt::format("[{}]", fmt::join(*v, ", "));
  }
  std::string operator()(const std::vector<std::string>* v) const {
    return fmt::format("[{}]", fmt::join(*v, ", "));
  }
  std::string operator()(const OptionWord& v) const { return v.get(); }
};

// Experiments have some hundred keys, four deep. References to what is above them, or to what holds
// references, would go on without end.
constexpr size_t most_keys = 10'000;
constexpr int64_t deepest_key = 20;

// Dotted keys of a YAML tree with their scalar or list text. `seen`: keys of sections and options.
void flatten(const YAML::Node& node, const std::string& prefix, const std::string& file,
             std::set<std::string>& seen, std::vector<std::pair<std::string, std::string>>& out) {
  if (node.IsMap()) {
    for (const auto& item : node) {
      const auto own = item.first.as<std::string>();
      const std::string key = prefix.empty() ? own : prefix + "." + own;
      if (seen.size() >= most_keys || std::count(key.begin(), key.end(), '.') > deepest_key) {
        throw Error(
            fmt::format("{}: line {}: more than {} keys, or sections nested more than {} "
                        "deep; is it an experiment file?",
                        file, item.first.Mark().line + 1, most_keys, deepest_key));
      }
      // One of the two would be lost without a word.
      if (!seen.insert(key).second) {
        throw Error(fmt::format("{}: line {}: \"{}\" is there twice; keep one of them", file,
                                item.first.Mark().line + 1, key));
      }
      flatten(item.second, key, file, seen, out);
    }
    return;
  }
  if (node.IsSequence()) {
    std::vector<std::string> items;
    for (const auto& item : node) {
      if (!item.IsScalar()) {
        throw Error(fmt::format("{}: key \"{}\": a list may hold plain values only", file, prefix));
      }
      items.push_back(item.as<std::string>());
    }
    out.emplace_back(prefix, fmt::format("[{}]", fmt::join(items, ", ")));
    return;
  }
  // A section whose keys are all commented out is null: nothing to set.
  if (node.IsNull()) return;
  out.emplace_back(prefix, node.as<std::string>());
}

std::string yaml_scalar(const OptionValue& value) {
  const std::string text = option_text(value);
  if (!std::holds_alternative<std::string*>(value) && !std::holds_alternative<OptionWord>(value))
    return text;
  YAML::Emitter emitter;
  emitter << text;
  return text.empty() ? "\"\"" : emitter.c_str();
}

}  // namespace

void OptionList::add(const std::string& name, OptionValue value, const std::string& help,
                     Limits limits) {
  options_.push_back({prefix_ + name, value, help, std::move(limits), "default"});
}

void OptionList::set(const std::string& key, const std::string& text, const std::string& source) {
  for (auto& option : options_) {
    if (option.key != key) continue;
    try {
      std::visit(Assign{text, option.limits}, option.value);
    } catch (const BadValue&) {
      throw Error(fmt::format("{}: {} must be {}, found \"{}\". Meaning: {}", source, key,
                              option_type_text(option), text, option.help));
    }
    option.source = source;
    return;
  }
  std::vector<std::string> keys;
  for (const auto& option : options_) keys.push_back(option.key);
  const std::string near = nearest_name(key, keys);
  throw Error(fmt::format("{}: unknown option \"{}\"{}", source, key,
                          near.empty() ? ". docs/options.md lists them all."
                                       : fmt::format("; did you mean \"{}\"?", near)));
}

void OptionList::load_yaml(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  std::vector<std::pair<std::string, std::string>> values;
  std::set<std::string> seen;
  try {
    const YAML::Node root = YAML::Load(text);
    if (root.IsNull()) return;
    if (!root.IsMap())
      throw Error(fmt::format("{}: expected sections of \"key: value\" lines", file.string()));
    flatten(root, "", file.string(), seen, values);
  } catch (const YAML::Exception& e) {
    throw Error(
        fmt::format("{}: not valid YAML: line {}: {}", file.string(), e.mark.line + 1, e.msg));
  }
  for (const auto& [key, value] : values) set(key, value, file.string());
}

bool Option::is_written() const {
  return limits.unwritten_at.empty() || option_text(value) != limits.unwritten_at;
}

std::string OptionList::to_yaml(bool with_sources) const {
  std::string out;
  std::vector<std::string> open;
  for (const auto& option : options_) {
    if (!with_sources && !option.is_written()) continue;
    std::vector<std::string> parts;
    size_t start = 0;
    for (size_t dot; (dot = option.key.find('.', start)) != std::string::npos; start = dot + 1) {
      parts.push_back(option.key.substr(start, dot - start));
    }
    size_t common = 0;
    while (common < open.size() && common < parts.size() && open[common] == parts[common]) ++common;
    for (size_t i = common; i < parts.size(); ++i)
      out += std::string(2 * i, ' ') + parts[i] + ":\n";
    open = parts;
    out += std::string(2 * parts.size(), ' ') + option.key.substr(start) + ": " +
           yaml_scalar(option.value);
    if (with_sources) out += "  # " + option.source;
    out += "\n";
  }
  return out;
}

std::string OptionList::to_markdown(const std::string& section) const {
  std::string out = "| option | value | default | meaning |\n|---|---|---|---|\n";
  for (const auto& option : options_) {
    if (option.key.rfind(section + ".", 0) != 0) continue;
    const std::string text = option_text(option.value);
    out += fmt::format("| `{}` | {} | {} | {} |\n", option.key, option_type_text(option),
                       text.empty() ? "(empty)" : "`" + text + "`", option.help);
  }
  return out;
}

std::string option_text(const OptionValue& value) { return std::visit(ToText{}, value); }

std::string option_type_text(const Option& option) {
  const Limits& limits = option.limits;
  if (!limits.choices.empty()) {
    const bool list = std::holds_alternative<std::vector<std::string>*>(option.value);
    return fmt::format("{}one of {}", list ? "a list, each " : "", fmt::join(limits.choices, ", "));
  }
  static const char* const names[] = {
      "true or false",      "an integer",        "a number",        "text",
      "a list of integers", "a list of numbers", "a list of words", "a word"};
  std::string text = names[option.value.index()];
  if (limits.count > 0) text += fmt::format(" ({} values)", limits.count);
  const bool low = std::isfinite(limits.min), high = std::isfinite(limits.max);
  if (low && high)
    text += fmt::format(" from {} to {}", limits.min, limits.max);
  else if (low)
    text += fmt::format(" of at least {}", limits.min);
  else if (high)
    text += fmt::format(" of at most {}", limits.max);
  return text;
}

std::string nearest_name(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(3, word.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const size_t above = row[j];
        row[j] = std::min(
            {above + 1, row[j - 1] + 1, diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1)});
        diagonal = above;
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace x2ctpa
