// SHA256SUMS of a folder, in the form that `sha256sum --check SHA256SUMS` reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace x2ctpa {

/// Where the sums of `folder` lie.
std::filesystem::path checksums_file(const std::filesystem::path& folder);

/// Writes the sums of all files in and below `folder` but README.md, which people complete by hand,
/// and the sums themselves. Remove an old file of sums before the folder changes.
void write_checksums(const std::filesystem::path& folder);

/// The number of files, each found as it was when the sums were written; none where there are no
/// sums. Throws Error naming the files that are missing or have changed.
std::optional<int64_t> verify_checksums(const std::filesystem::path& folder);

}  // namespace x2ctpa
