#include "x2ctpa/core/base64.h"

#include <openssl/evp.h>

#include <algorithm>

namespace x2ctpa {

std::string base64(std::string_view bytes) {
  // OpenSSL counts in int; pieces of a multiple of three bytes need no padding between them.
  constexpr size_t piece = size_t(3) << 20;
  std::string out;
  std::string encoded(piece / 3 * 4 + 1, '\0');  // OpenSSL ends it with a zero byte
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    const std::string_view part = bytes.substr(0, piece);
    const int length =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                        reinterpret_cast<const unsigned char*>(part.data()), int(part.size()));
    out.append(encoded, 0, size_t(length));
  }
  return out;
}

}  // namespace x2ctpa
