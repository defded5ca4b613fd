// Base64, RFC 4648.
#pragma once

#include <string>
#include <string_view>

namespace x2ctpa {

/// With padding and without line breaks.
std::string base64(std::string_view bytes);

}  // namespace x2ctpa
