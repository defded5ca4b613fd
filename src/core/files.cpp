#include "x2ctpa/core/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view partial_prefix = ".part-";

Error write_error(const fs::path& path, int code) {
  const char* advice = code == ENOSPC || code == EDQUOT || code == EFBIG
                           ? " Free some space and run the same command again: it goes on."
                           : "";
  return Error(fmt::format("cannot write {}: {}.{}", path.string(), std::strerror(code), advice));
}

void make_folder(const fs::path& folder) {
  if (folder.empty()) return;
  std::error_code code;
  fs::create_directories(folder, code);
  if (code)
    throw Error(fmt::format("cannot make the folder {}: {}", folder.string(), code.message()));
}

class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void add(const char* data, size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  std::string hex() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), bytes, &size);
    std::string text;
    for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

// .part-<process>-<number>-<name>
fs::path partial_path(const fs::path& path) {
  static std::atomic<int> counter{0};
  return path.parent_path() /
         fmt::format("{}{}-{}-{}", partial_prefix, getpid(), counter++, path.filename().string());
}

std::string name_of_partial(const fs::path& path) {
  std::string name = path.filename().string();
  if (!name.starts_with(partial_prefix)) return "";
  name.erase(0, partial_prefix.size());
  for (int number = 0; number < 2; ++number) {
    const size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
    if (digits == 0 || digits == name.size() || name[digits] != '-') return "";
    name.erase(0, digits + 1);
  }
  return name;
}

void remove_partial_files(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (!name_of_partial(entry.path()).empty()) fs::remove_all(entry.path(), ignored);
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), temporary_(partial_path(path_)) {
  make_folder(path_.parent_path());
}

AtomicFile::~AtomicFile() {
  std::error_code ignored;
  if (!committed_) fs::remove(temporary_, ignored);
}

void AtomicFile::commit() {
  const int descriptor = ::open(temporary_.c_str(), O_RDONLY);
  if (descriptor < 0) throw write_error(path_, errno);
  const bool flushed = ::fsync(descriptor) == 0;
  const int code = errno;
  ::close(descriptor);
  if (!flushed) throw write_error(path_, code);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw write_error(path_, errno);
  committed_ = true;
}

void write_file(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  errno = 0;
  std::ofstream stream(file.temporary(), std::ios::binary);
  stream.write(content.data(), std::streamsize(content.size()));
  stream.close();
  if (!stream) throw write_error(path, errno != 0 ? errno : EIO);
  file.commit();
}

std::string read_file(const fs::path& path) {
  std::error_code code;
  if (fs::is_directory(path, code))
    throw Error(fmt::format("cannot read {}: it is a folder, expected a file", path.string()));
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    const int cause = errno;
    throw Error(fmt::format("cannot read {}: {}", path.string(), std::strerror(cause)),
                cause == ENOENT ? ExitCode::no_data : ExitCode::usage);
  }
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

void append_line(const fs::path& path, std::string_view line) {
  make_folder(path.parent_path());
  errno = 0;
  std::ofstream stream(path, std::ios::app | std::ios::binary);
  stream << line << '\n';
  stream.flush();
  if (!stream) throw write_error(path, errno != 0 ? errno : EIO);
}

std::string sha256(std::string_view content) {
  Digest digest;
  digest.add(content.data(), content.size());
  return digest.hex();
}

std::string sha256_of_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw Error(fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)));
  Digest digest;
  std::vector<char> buffer(1 << 20);
  while (stream.read(buffer.data(), std::streamsize(buffer.size())) || stream.gcount() > 0) {
    digest.add(buffer.data(), size_t(stream.gcount()));
  }
  return digest.hex();
}

}  // namespace x2ctpa
