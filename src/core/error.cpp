#include "x2ctpa/core/error.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <new>

namespace x2ctpa {

Error::Error(std::string message, ExitCode code)
    : std::runtime_error(std::move(message)), code_(code) {}

Error translate_exception(const std::exception& e, const std::string& doing) {
  if (const auto* ours = dynamic_cast<const Error*>(&e)) return *ours;
  std::string reason = e.what();
  if (const auto* c10_error = dynamic_cast<const c10::Error*>(&e)) {
    reason = c10_error->what_without_backtrace();
  }
  // The CPU allocator throws a plain c10::Error, so its text is the only sign.
  const bool no_memory = dynamic_cast<const std::bad_alloc*>(&e) != nullptr ||
                         dynamic_cast<const c10::OutOfMemoryError*>(&e) != nullptr ||
                         reason.find("not enough memory") != std::string::npos ||
                         reason.find("can't allocate memory") != std::string::npos ||
                         reason.find("out of memory") != std::string::npos;
  if (no_memory) {
    return Error(fmt::format("{}: out of memory. Lower the batch size or the grid, or use "
                             "--runtime.precision bf16. ({})",
                             doing, reason),
                 ExitCode::out_of_memory);
  }
  return Error(fmt::format("{}: {}", doing, reason));
}

}  // namespace x2ctpa
