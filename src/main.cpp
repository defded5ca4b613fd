#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "x2ctpa/commands/command.h"

namespace {

// OpenMP's threads spin while they wait, up to 300,000 rounds, on cores that another program may
// need; after 5,000 rounds they sleep here. Of one `sample` at the demo's size that takes a
// twelfth of its time on 2 idle cores; two at once take 2.1 times as long as one, with 10,000
// rounds 2.9. libgomp reads that from the environment when it is loaded, and the C library takes
// over only the one that the process was started with: so the program starts itself anew with the
// variable. Functions of .preinit_array come before anything else is initialised, when this costs
// no time yet; nothing of the C library may be used that needs it to be.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void let_waiting_threads_sleep(int, char** argv, char** environment) {
  constexpr size_t most = 4096;
  const char* with_variable[most + 2];
  size_t count = 0;
  for (; environment[count] != nullptr && count < most; ++count) {
    const std::string_view entry(environment[count]);
    if (entry.starts_with("GOMP_SPINCOUNT=") || entry.starts_with("OMP_WAIT_POLICY=")) return;
    with_variable[count] = environment[count];
  }
  if (count == most) return;
  with_variable[count] = "GOMP_SPINCOUNT=5000";
  with_variable[count + 1] = nullptr;
  execve("/proc/self/exe", argv, const_cast<char**>(with_variable));  // where it fails, as before
}

[[gnu::section(".preinit_array"),
  gnu::used]] void (*before_libraries)(int, char**, char**) = let_waiting_threads_sleep;
#endif

}  // namespace

int main(int argc, char** argv) {
  const int code = x2ctpa::run_program(argc, argv);
  std::cout.flush();
  std::fflush(nullptr);
#ifndef __SANITIZE_ADDRESS__
  // Every file is closed by now. What is left are LibTorch's own tables, and taking them down lasts
  // as long as half of the start.
  std::_Exit(code);
#endif
  return code;
}
