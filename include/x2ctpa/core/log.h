// Logging to stderr (and a file of the run), and progress of long work. stdout is for results.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace x2ctpa {

enum class Verbosity { quiet, normal, verbose };

/// Sets the level of stderr. Call once from main; before that, messages go out as normal.
void set_verbosity(Verbosity verbosity);

/// Also appends every message, with a time stamp, to `file`, whose folder is made.
void log_to_file(const std::filesystem::path& file);

void log_message(int level, std::string_view message);

template <class... A>
void log_info(fmt::format_string<A...> format, A&&... args) {
  log_message(1, fmt::format(format, std::forward<A>(args)...));
}
template <class... A>
void log_warning(fmt::format_string<A...> format, A&&... args) {
  log_message(2, fmt::format(format, std::forward<A>(args)...));
}
template <class... A>
void log_error(fmt::format_string<A...> format, A&&... args) {
  log_message(3, fmt::format(format, std::forward<A>(args)...));
}
template <class... A>
void log_debug(fmt::format_string<A...> format, A&&... args) {
  log_message(0, fmt::format(format, std::forward<A>(args)...));
}

/// Warnings of one kind that may come by the thousand: the first ones are logged, those after them
/// as messages of -v. Threads may share it.
class RepeatedWarning {
 public:
  explicit RepeatedWarning(int64_t most = 10) : most_(most) {}

  void say(std::string_view message);
  /// Where some were held back, says how many there were: "<count> <what>".
  void finish(std::string_view what) const;
  int64_t count() const { return count_; }

 private:
  int64_t most_;
  std::atomic<int64_t> count_{0};
};

/// Progress of `total` items: a redrawn bar with rate and remaining time on a terminal, a plain
/// line every few seconds elsewhere; nothing when quiet.
class Progress {
 public:
  Progress(std::string label, int64_t total, int64_t done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Marks `items` more as done; `note` (a loss, a file name) follows the numbers.
  void advance(int64_t items = 1, const std::string& note = {});
  void finish();

 private:
  void draw(const std::string& note);

  std::string label_;
  int64_t total_, done_, first_done_;
  std::chrono::steady_clock::time_point start_, last_draw_;
  bool terminal_, finished_ = false;
};

}  // namespace x2ctpa
