#include "x2ctpa/core/version.h"

namespace x2ctpa {

const char* version() { return X2CTPA_VERSION; }

}  // namespace x2ctpa
