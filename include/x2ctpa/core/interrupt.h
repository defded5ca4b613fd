// SIGINT, SIGTERM and SIGUSR1 ask long work to save its state and stop.
#pragma once

namespace x2ctpa {

/// Installs the handlers. A second SIGINT ends the process at once.
void install_interrupt_handlers();

/// True once a signal has come.
bool interrupt_requested();

/// Throws Error(ExitCode::interrupted) once a signal has come. Call between units of work whose
/// results are already on the disk.
void stop_if_interrupted();

}  // namespace x2ctpa
