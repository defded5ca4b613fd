// Keeps processes that write one dataset folder out of each other's way.
#pragma once

#include <filesystem>

namespace x2ctpa {

/// An advisory lock on a folder (flock), which ends with the process, however it ends. Where the
/// file system knows no locks, every one is granted and `real()` is false.
class FolderLock {
 public:
  enum class Kind { shared, exclusive };

  /// Makes the folder when it is missing. Holds nothing yet.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// Takes the lock, or changes its kind, without waiting. False when others hold it; what was
  /// held before is given up then.
  bool take(Kind kind);
  bool real() const { return real_; }

 private:
  int descriptor_ = -1;
  bool real_ = true;
};

/// Removes what a process that was killed left half-written directly in `folder`. Only while
/// nobody else writes there.
void remove_partial_files(const std::filesystem::path& folder);

}  // namespace x2ctpa
