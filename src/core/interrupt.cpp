#include "x2ctpa/core/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

volatile std::sig_atomic_t requested = 0;

void handle(int signal) {
  if (requested && signal == SIGINT) _exit(130);
  requested = 1;
}

}  // namespace

void install_interrupt_handlers() {
  struct sigaction action {};
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
  // A file over the user's size limit is then a failed write, with its message, like a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
}

bool interrupt_requested() { return requested != 0; }

void stop_if_interrupted() {
  if (requested) {
    throw Error("stopped by a signal; what was finished is saved, and the same command goes on from there",
                ExitCode::interrupted);
  }
}

}  // namespace x2ctpa
