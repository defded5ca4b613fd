#include "data/preprocess/folder_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "x2ctpa/core/error.h"

namespace fs = std::filesystem;

namespace x2ctpa {

FolderLock::FolderLock(const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code)
    throw Error(fmt::format("cannot make the folder {}: {}", folder.string(), code.message()));
  descriptor_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool FolderLock::take(Kind kind) {
  const int operation = (kind == Kind::shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  if (descriptor_ >= 0 && ::flock(descriptor_, operation) == 0) return true;
  if (descriptor_ >= 0 && errno == EWOULDBLOCK) return false;
  real_ = false;
  return true;
}

void remove_partial_files(const fs::path& folder) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    std::error_code ignored;
    if (entry.path().filename().string().starts_with(".part-")) fs::remove(entry.path(), ignored);
  }
}

}  // namespace x2ctpa
