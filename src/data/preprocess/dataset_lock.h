// Keeps processes that write one dataset folder out of each other's way.
#pragma once

#include <filesystem>

namespace x2ctpa {

/// An advisory lock on a folder (flock), which ends with the process, however it ends. Where the
/// file system knows no locks, every one is granted and `real()` is false.
class DatasetLock {
 public:
  enum class Kind { shared, exclusive };

  /// Makes the folder when it is missing. Holds nothing yet.
  explicit DatasetLock(const std::filesystem::path& folder);
  ~DatasetLock();
  DatasetLock(const DatasetLock&) = delete;
  DatasetLock& operator=(const DatasetLock&) = delete;

  /// Takes the lock, or changes its kind, without waiting. False when others hold it; what was
  /// held before is given up then.
  bool take(Kind kind);
  bool real() const { return real_; }

 private:
  int descriptor_ = -1;
  bool real_ = true;
};

}  // namespace x2ctpa
