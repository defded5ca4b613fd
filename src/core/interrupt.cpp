#include "x2ctpa/core/interrupt.h"

#include <unistd.h>

#include <csignal>
#include <ctime>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

volatile std::sig_atomic_t requested = 0;
volatile std::time_t first_second = 0;

// A second Ctrl-C ends the program at once. Launchers such as timeout send one signal to the
// process and to its group, so two at the same time are one.
void handle(int signal) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (requested && signal == SIGINT && now.tv_sec > first_second + 1) _exit(130);
  if (!requested) first_second = now.tv_sec;
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
    throw Error(
        "stopped by a signal; what was finished is saved, and the same command goes on from there",
        ExitCode::interrupted);
  }
}

}  // namespace x2ctpa
