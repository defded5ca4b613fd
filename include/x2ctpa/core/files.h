// Files that appear whole or not at all, and content hashes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace x2ctpa {

/// A path beside the final one to write to; commit() renames it into place. Without commit() the
/// partial file is removed. Throws Error (disk full, no permission) naming the final path.
class AtomicFile {
 public:
  /// Makes the folder of `path` when it is missing. The temporary name keeps `path`'s extensions,
  /// since image writers choose the format by them.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::filesystem::path& temporary() const { return temporary_; }
  /// Flushes to the disk and renames.
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  bool committed_ = false;
};

/// Where to write what gets the name `path` when it is whole: beside it, under a name that no other
/// writer has and that keeps `path`'s extensions.
std::filesystem::path partial_path(const std::filesystem::path& path);

/// The name that a file or folder under a partial_path was to get; empty for any other path.
std::string name_of_partial(const std::filesystem::path& path);

/// Removes the partial files and folders directly in `folder` that killed processes left there.
/// Only while nobody else writes to it.
void remove_partial_files(const std::filesystem::path& folder);

/// Writes `content` to `path` atomically.
void write_file(const std::filesystem::path& path, std::string_view content);

/// The whole file. Throws Error when it cannot be read.
std::string read_file(const std::filesystem::path& path);

/// Appends one line and flushes it; for logs such as metrics.jsonl.
void append_line(const std::filesystem::path& path, std::string_view line);

/// SHA-256 of `content` / of a file's content, as 64 hexadecimal digits.
std::string sha256(std::string_view content);
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace x2ctpa
