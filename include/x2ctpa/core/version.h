// The version of the program, as CMakeLists.txt states it.
#pragma once

namespace x2ctpa {

/// The version of this build, such as "0.1.0".
const char* version();

}  // namespace x2ctpa
