// Archives of studies, unpacked into a folder of their own that vanishes with them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace x2ctpa {

/// Past these an archive is refused as a whole; it may be a bomb.
struct ArchiveLimits {
  int64_t bytes = int64_t{64} << 30;
  int64_t files = 1'000'000;
  double ratio = 200;  ///< unpacked to packed, once more than 256 MiB are unpacked
};

/// The regular files of an archive in a folder that only this user may enter, below TMPDIR. Nothing
/// is written outside of it: links and devices are left out, ".." and absolute names refused.
/// Archives within archives are not unpacked.
class Unpacked {
 public:
  /// Throws Error naming the archive when it is damaged, encrypted, past a limit or unsafe.
  explicit Unpacked(std::filesystem::path archive, const ArchiveLimits& limits = {});
  ~Unpacked();
  Unpacked(const Unpacked&) = delete;
  Unpacked& operator=(const Unpacked&) = delete;

  const std::filesystem::path& archive() const { return archive_; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  void unpack(const ArchiveLimits& limits);

  std::filesystem::path archive_, folder_;
};

}  // namespace x2ctpa
