#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "x2ctpa/commands/command.h"

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
