// One declaration per option: a plain struct, its member initialisers, and one
// describe(OptionList&). Flags, YAML keys, resolved.yaml, config.yaml of model folders,
// docs/options.md and the error texts are all made from it. A parser of command lines such as CLI11
// knows flags alone: the other five, their strictness and where each value came from would still be
// made here, from a second declaration.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "x2ctpa/core/words.h"

namespace x2ctpa {

/// What a value may be. Bounds are inclusive and hold for each element of a list.
struct Limits {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;  ///< for words and strings: those allowed; empty: any
  int64_t count = 0;                 ///< for lists: the number of elements; 0: any
  /// The value, as text, at which files and hashes leave the option out: one that came later, so
  /// that what does not use it stays as it was. Empty: never.
  std::string unwritten_at = {};
};

/// A member that is an enum, read and written as its word.
struct OptionWord {
  std::function<std::string()> get;
  std::function<void(const std::string& word)> set;  ///< of the enum's words only
};

/// A pointer into the options struct; the struct must outlive the list.
using OptionValue = std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*,
                                 std::vector<double>*, std::vector<std::string>*, OptionWord>;

/// Calls `f` with the value itself: a bool, number, text or list. An enum is given as its word.
template <class F>
void with_value(const OptionValue& value, F&& f) {
  std::visit(
      [&](const auto& v) {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, OptionWord>)
          f(v.get());
        else
          f(*v);
      },
      value);
}

struct Option {
  std::string key;  ///< dotted, as in flags: "diffusion.sampler.steps"
  OptionValue value;
  std::string help;  ///< one sentence with the unit
  Limits limits;
  std::string source;  ///< where the value came from: "default", a file, "--flag"

  bool is_written() const;  ///< see Limits::unwritten_at
};

/// The options of one or several structs under their dotted keys, in the order of declaration.
class OptionList {
 public:
  /// Called from describe(): declares the member `value` as `name` of the current section.
  void add(const std::string& name, OptionValue value, const std::string& help, Limits limits = {});

  /// The same for an enum: one of `allowed`, or of all its words where that is empty.
  template <WordEnum E>
  void add(const std::string& name, E* value, const std::string& help,
           const std::vector<E>& allowed = {}, const std::string& unwritten_at = {}) {
    Limits limits;
    limits.unwritten_at = unwritten_at;
    for (const E word : allowed) limits.choices.emplace_back(word_of(word));
    if (allowed.empty()) limits.choices = all_words<E>();
    add(name,
        OptionWord{[value] { return std::string(word_of(*value)); },
                   [value](const std::string& word) { *value = find_word<E>(word).value(); }},
        help, std::move(limits));
  }

  /// Declares every option of `child` under `name.`.
  template <class T>
  void section(const std::string& name, T& child) {
    const std::string outer = prefix_;
    prefix_ += name + ".";
    child.describe(*this);
    prefix_ = outer;
  }

  const std::vector<Option>& all() const { return options_; }

  /// Sets one option from text: "true", "3", "1e-4", "word", "[1, 2]" or "1,2".
  /// Throws Error for an unknown key (naming the nearest), a wrong type or a value out of limits.
  void set(const std::string& key, const std::string& text, const std::string& source);

  /// Reads a YAML file of nested sections over the present values. Every key must be known.
  void load_yaml(const std::filesystem::path& file);

  /// The values as nested YAML. `with_sources` adds where each came from as a comment, and writes
  /// every option.
  std::string to_yaml(bool with_sources = false) const;

  /// A Markdown table (key, type and limits, default, meaning) of the options under `section`.
  std::string to_markdown(const std::string& section) const;

 private:
  std::string prefix_;
  std::vector<Option> options_;
};

/// The value as text that set() reads back.
std::string option_text(const OptionValue& value);

/// "integer >= 1", "one of a, b", ... for help texts.
std::string option_type_text(const Option& option);

/// The candidate with the smallest edit distance to `word`; empty when none is near.
std::string nearest_name(const std::string& word, const std::vector<std::string>& candidates);

/// Reads an options struct from a YAML file such as a model folder's config.yaml.
template <class T>
T load_options(const std::filesystem::path& file) {
  T options;
  OptionList list;
  options.describe(list);
  list.load_yaml(file);
  return options;
}

template <class T>
std::string options_to_yaml(T options) {
  OptionList list;
  options.describe(list);
  return list.to_yaml();
}

}  // namespace x2ctpa
