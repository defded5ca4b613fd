// Numbers of clots over cases.
#pragma once

#include "x2ctpa/evaluation/lesions.h"

namespace x2ctpa {

/// Thirds by size, distributions by size and place, and the tests, from `lesions.cases`.
void summarise_lesions(LesionEvaluation& lesions);

}  // namespace x2ctpa
