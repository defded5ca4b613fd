#include "data/preprocess/dataset_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "x2ctpa/core/error.h"

namespace fs = std::filesystem;

namespace x2ctpa {

DatasetLock::DatasetLock(const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code)
    throw Error(fmt::format("cannot make the folder {}: {}", folder.string(), code.message()));
  descriptor_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

DatasetLock::~DatasetLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool DatasetLock::take(Kind kind) {
  const int operation = (kind == Kind::shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  if (descriptor_ >= 0 && ::flock(descriptor_, operation) == 0) return true;
  if (descriptor_ >= 0 && errno == EWOULDBLOCK) return false;
  real_ = false;
  return true;
}

}  // namespace x2ctpa
