// Runs the program as a user does.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace x2ctpa::test {

struct ProgramResult {
  int exit_code = -1;
  std::string out;  ///< stdout
  std::string err;  ///< stderr
};

/// `x2ctpa <arguments>` through the shell; `arguments` are quoted by the caller where needed, and
/// `before` is shell text that goes before the program ("ulimit -f 8; ").
inline ProgramResult run_binary(const std::string& arguments, const std::string& before = {}) {
  char err_file[] = "/tmp/x2ctpa-stderr-XXXXXX";
  const int descriptor = mkstemp(err_file);
  if (descriptor >= 0) close(descriptor);
  const std::string line = before + X2CTPA_BINARY + " " + arguments + " 2>" + err_file;
  ProgramResult result;
  char buffer[4096];
  FILE* pipe = popen(line.c_str(), "r");
  for (size_t n; pipe && (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    result.out.append(buffer, n);
  const int status = pipe ? pclose(pipe) : -1;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (FILE* file = fopen(err_file, "r")) {
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, file)) > 0;) result.err.append(buffer, n);
    fclose(file);
  }
  std::remove(err_file);
  return result;
}

}  // namespace x2ctpa::test
