// Enums whose enumerators are words of the options and files.
//
// An enum takes part by a function beside it with one word per enumerator, in their order:
//
//   enum class Spacing { trailing, leading };
//   constexpr auto words(Spacing) { return std::array{"trailing", "leading"}; }
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace x2ctpa {

template <class E>
concept WordEnum = std::is_enum_v<E> && requires(E value) {
  words(value).size();
};

template <WordEnum E>
constexpr std::string_view word_of(E value) {
  return words(value).at(size_t(value));
}

/// The enumerator of a word; none where it is not one of the enum's words.
template <WordEnum E>
constexpr std::optional<E> find_word(std::string_view word) {
  const auto all = words(E{});
  for (size_t i = 0; i < all.size(); ++i) {
    if (word == all[i]) return static_cast<E>(i);
  }
  return std::nullopt;
}

/// Every word of the enum.
template <WordEnum E>
std::vector<std::string> all_words() {
  const auto all = words(E{});
  return {all.begin(), all.end()};
}

}  // namespace x2ctpa

/// fmt prints the word.
template <x2ctpa::WordEnum E>
struct fmt::formatter<E, char> : fmt::formatter<std::string_view> {
  auto format(E value, fmt::format_context& context) const {
    return fmt::formatter<std::string_view>::format(x2ctpa::word_of(value), context);
  }
};
