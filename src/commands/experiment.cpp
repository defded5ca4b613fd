#include "x2ctpa/commands/experiment.h"

namespace x2ctpa {

void Experiment::describe(OptionList& options) {
  options.section("runtime", runtime);
}

}  // namespace x2ctpa
