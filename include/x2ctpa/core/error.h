// The one exception of x2ctpa, with the exit code that the program ends with.
#pragma once

#include <stdexcept>
#include <string>

namespace x2ctpa {

/// Exit codes of the program; docs/troubleshooting.md lists their causes.
enum class ExitCode : int {
  ok = 0,
  usage = 1,    ///< wrong use, configuration or input file
  no_data = 2,  ///< no usable data, or a path that is not there
  partial = 3,  ///< part of the work failed; a CSV names the parts
  out_of_memory = 4,
  interrupted = 130,  ///< stopped by a signal after its state was saved
};

/// Thrown for everything that a user can cause. The message says what failed, where, what was
/// expected, what was found and what to do; it is printed as it is, without a stack trace.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string message, ExitCode code = ExitCode::usage);
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Any exception as an Error, and an Error as itself: c10 errors lose their stack trace, allocation
/// failures get ExitCode::out_of_memory. `doing` opens the message
/// ("reading /data/a.dcm").
Error translate_exception(const std::exception& e, const std::string& doing);

}  // namespace x2ctpa
