#include "x2ctpa/core/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <memory>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

Verbosity current_verbosity = Verbosity::normal;
bool bar_on_screen = false;

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    sink->set_pattern("%^%v%$");
    sink->set_level(spdlog::level::info);
    auto made = std::make_shared<spdlog::logger>("x2ctpa", sink);
    made->set_level(spdlog::level::debug);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

std::string duration_text(double seconds) {
  const auto s = int64_t(std::llround(seconds));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}h{:02}m", s / 3600, s % 3600 / 60);
}

}  // namespace

void set_verbosity(Verbosity verbosity) {
  current_verbosity = verbosity;
  const auto level = verbosity == Verbosity::quiet     ? spdlog::level::warn
                     : verbosity == Verbosity::verbose ? spdlog::level::debug
                                                       : spdlog::level::info;
  logger().sinks().front()->set_level(level);
}

void log_to_file(const std::filesystem::path& file) {
  try {
    std::filesystem::create_directories(file.parent_path());
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
    sink->set_pattern("%Y-%m-%d %H:%M:%S %L %v");
    logger().sinks().push_back(sink);
  } catch (const std::exception& e) {
    throw Error(fmt::format("cannot write the log file {}: {}", file.string(), e.what()));
  }
}

void log_message(int level, std::string_view message) {
  static const spdlog::level::level_enum levels[] = {spdlog::level::debug, spdlog::level::info,
                                                     spdlog::level::warn, spdlog::level::err};
  if (bar_on_screen) {
    std::fputs("\r\033[K", stderr);
    bar_on_screen = false;
  }
  const char* prefix = level == 2 ? "warning: " : level == 3 ? "error: " : "";
  logger().log(levels[level], "{}{}", prefix, message);
}

void RepeatedWarning::say(std::string_view message) {
  const int64_t number = ++count_;
  log_message(number <= most_ ? 2 : 0, message);
  if (number == most_ + 1)
    log_message(2, "more warnings of this kind follow; -v shows them, and they are counted");
}

void RepeatedWarning::finish(std::string_view what) const {
  if (count_ > most_) log_warning("{} {}", count_.load(), what);
}

Progress::Progress(std::string label, int64_t total, int64_t done)
    : label_(std::move(label)),
      total_(total),
      done_(done),
      first_done_(done),
      start_(std::chrono::steady_clock::now()),
      last_draw_(start_),
      terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() { finish(); }

void Progress::advance(int64_t items, const std::string& note) {
  done_ += items;
  const auto now = std::chrono::steady_clock::now();
  const double since = std::chrono::duration<double>(now - last_draw_).count();
  if (since < (terminal_ ? 0.2 : 10.0) && done_ < total_) return;
  last_draw_ = now;
  draw(note);
}

void Progress::draw(const std::string& note) {
  if (current_verbosity == Verbosity::quiet) return;
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double rate = seconds > 0 ? double(done_ - first_done_) / seconds : 0;
  const std::string remaining =
      rate > 0 ? duration_text(double(total_ - done_) / rate) : std::string("?");
  const std::string line =
      fmt::format("{} {}/{} ({:.0f}%), {:.2f}/s, {} left{}{}", label_, done_, total_,
                  total_ > 0 ? 100.0 * double(done_) / double(total_) : 100.0, rate, remaining,
                  note.empty() ? "" : ", ", note);
  if (!terminal_) {
    log_message(1, line);
    return;
  }
  constexpr int width = 24;
  const int filled = total_ > 0 ? int(width * done_ / std::max<int64_t>(total_, 1)) : width;
  const std::string bar =
      std::string(std::min(filled, width), '=') + std::string(width - std::min(filled, width), ' ');
  std::fprintf(stderr, "\r\033[K[%s] %s", bar.c_str(), line.c_str());
  std::fflush(stderr);
  bar_on_screen = true;
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  if (terminal_ && bar_on_screen) {
    std::fputs("\n", stderr);
    bar_on_screen = false;
  }
}

}  // namespace x2ctpa
