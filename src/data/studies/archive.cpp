#include "x2ctpa/data/studies/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

constexpr int64_t ratio_from_bytes = int64_t{256} << 20;
constexpr size_t deepest = 32, longest_name = 200;

struct FreeReader {
  void operator()(struct ::archive* a) const { archive_read_free(a); }
};
using Reader = std::unique_ptr<struct ::archive, FreeReader>;

[[noreturn]] void refuse(const fs::path& archive, const std::string& why) {
  throw Error(fmt::format("{}: archive not used: {}.", archive.string(), why));
}

// The entry's path below the folder. Refuses what would lead out of it.
fs::path safe_path(const fs::path& archive, const std::string& name) {
  std::string text = name;
  // Windows programs write backslashes, against the format.
  std::replace(text.begin(), text.end(), '\\', '/');
  const bool drive = text.size() > 1 && text[1] == ':';
  if (text.empty() || text.front() == '/' || drive)
    refuse(archive, fmt::format("it holds the absolute path '{}'", name));
  fs::path path;
  size_t depth = 0;
  for (const auto& part : fs::path(text)) {
    if (part == "..") refuse(archive, fmt::format("'{}' leads out of the archive", name));
    if (part == "." || part.empty()) continue;
    if (++depth > deepest || part.string().size() > longest_name)
      refuse(archive, "it holds names that are too long or too deep");
    path /= part;
  }
  return path;
}

// Copies the data of the current entry into a new file; returns its size.
int64_t write_entry(const fs::path& archive, struct ::archive* reader, const fs::path& target,
                    int64_t most_bytes) {
  const int file = open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (file < 0)
    refuse(archive, fmt::format("{} cannot be made: {}", target.string(), std::strerror(errno)));
  const std::unique_ptr<const int, void (*)(const int*)> closer(&file,
                                                                [](const int* f) { close(*f); });
  char buffer[65536];
  int64_t bytes = 0;
  for (la_ssize_t n; (n = archive_read_data(reader, buffer, sizeof buffer)) != 0;) {
    if (n < 0) {
      const char* text = archive_error_string(reader);
      refuse(archive,
             fmt::format("it is damaged or encrypted ({})", text ? text : "no reason given"));
    }
    bytes += n;
    if (bytes > most_bytes)
      refuse(archive, "it unpacks to more than the limits allow; it may be a bomb");
    if (write(file, buffer, size_t(n)) != n)
      refuse(archive, fmt::format("{} cannot be written: {}. TMPDIR may name another place",
                                  target.string(), std::strerror(errno)));
  }
  return bytes;
}

}  // namespace

Unpacked::Unpacked(fs::path archive, const ArchiveLimits& limits) : archive_(std::move(archive)) {
  std::string name = (fs::temp_directory_path() / "x2ctpa-unpacked-XXXXXX").string();
  if (!mkdtemp(name.data()))
    throw Error(
        fmt::format("{}: no temporary folder can be made ({}). TMPDIR may name another place.",
                    name, std::strerror(errno)));
  folder_ = name;
  const auto clean = [&] {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  };
  try {
    unpack(limits);
  } catch (const fs::filesystem_error& e) {
    clean();
    refuse(archive_, e.code().message());
  } catch (...) {
    clean();
    throw;
  }
}

Unpacked::~Unpacked() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void Unpacked::unpack(const ArchiveLimits& limits) {
  const Reader reader(archive_read_new());
  archive_read_support_format_zip(reader.get());
  archive_read_support_format_tar(reader.get());
  archive_read_support_filter_gzip(reader.get());
  const auto fail = [&] {
    const char* text = archive_error_string(reader.get());
    refuse(archive_,
           fmt::format("it is damaged or no archive ({})", text ? text : "no reason given"));
  };
  if (archive_read_open_filename(reader.get(), archive_.c_str(), 65536) != ARCHIVE_OK) fail();
  const auto packed = double(fs::file_size(archive_));
  const auto by_ratio = std::max(ratio_from_bytes, int64_t(packed * limits.ratio));
  int64_t bytes = 0, files = 0, left_out = 0;
  struct ::archive_entry* entry = nullptr;
  for (int status; (status = archive_read_next_header(reader.get(), &entry)) != ARCHIVE_EOF;) {
    stop_if_interrupted();
    if (status < ARCHIVE_WARN) fail();
    if (++files > limits.files)
      refuse(archive_, fmt::format("it holds more than {} files", limits.files));
    const char* name = archive_entry_pathname(entry);
    if (!name) refuse(archive_, "it holds a file without a name");
    const fs::path path = safe_path(archive_, name);
    if (archive_entry_filetype(entry) == AE_IFDIR || path.empty()) continue;
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)) {
      ++left_out;
      continue;
    }
    fs::create_directories((folder_ / path).parent_path());
    fs::path target = folder_ / path;
    for (int n = 2; fs::exists(fs::symlink_status(target)); ++n)
      target = folder_ / fmt::format("{}-{}", path.string(), n);
    bytes += write_entry(archive_, reader.get(), target, std::min(limits.bytes, by_ratio) - bytes);
  }
  if (left_out > 0)
    log_warning("{}: {} left out", archive_.string(),
                counted(left_out, "link or device in it is", "links or devices in it are"));
  log_debug("{}: {} files, {} bytes unpacked into {}", archive_.string(), files, bytes,
            folder_.string());
}

}  // namespace x2ctpa
