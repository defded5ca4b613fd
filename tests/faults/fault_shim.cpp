// A library for LD_PRELOAD that makes one call of a program to the file system fail: a disk that is
// full or broken, a signal that interrupts, a write that takes half, a server that answers late.
// Nothing in the program knows of it. tests/faults/fault_table.py drives it.
//
//   X2CTPA_FAULT_FOLDER  only calls on paths in it count: opening to write, writing, fsync, rename,
//                        close of what was open to write, ftruncate, mkdir
//   X2CTPA_FAULT_LOG     gets a line for each of them: "<number> <call> <path>"
//   X2CTPA_FAULT_AT      number of the call that fails, from 1; 0: none
//   X2CTPA_FAULT_KIND    ENOSPC, EIO, EINTR; SHORT: a write takes half; LATE: a rename is done and
//                        answers EIO all the same, as over NFS
//   X2CTPA_FAULT_STAYS   1: so does every later call that writes (a full disk stays full)
//   X2CTPA_FAULT_CLOCK   seconds by which the wall clock is set back at the program's half second
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace {

template <class F>
F next(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

const char* setting(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

struct Plan {
  std::string folder = setting("X2CTPA_FAULT_FOLDER"), kind = setting("X2CTPA_FAULT_KIND");
  long at = std::atol(setting("X2CTPA_FAULT_AT"));
  bool stays = *setting("X2CTPA_FAULT_STAYS") == '1';
  // Opened before anything is intercepted; the program's children get it as well.
  int log = open_log(setting("X2CTPA_FAULT_LOG"));
  std::atomic<long> calls{0};

  static int open_log(const char* path) {
    if (!*path) return -1;
    return next<int (*)(const char*, int, ...)>("open")(
        path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  }
};

// Never destroyed: files are closed after the last destructor.
Plan& plan() {
  static Plan* const made = new Plan;
  return *made;
}

std::string path_of(int descriptor) {
  char link[64], target[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t n = readlink(link, target, sizeof target);
  return n > 0 ? std::string(target, size_t(n)) : std::string();
}

std::string absolute(const char* path) {
  if (*path == '/') return path;
  char folder[PATH_MAX];
  return getcwd(folder, sizeof folder) ? std::string(folder) + "/" + path : std::string(path);
}

// Counts a call on `path`; true when it is to fail.
bool fails(const char* call, const std::string& path) {
  Plan& p = plan();
  if (p.folder.empty() || path.compare(0, p.folder.size(), p.folder) != 0) return false;
  const long number = ++p.calls;
  if (p.log >= 0) {
    char line[PATH_MAX + 64];
    const int n = std::snprintf(line, sizeof line, "%ld %s %s\n", number, call, path.c_str());
    static const auto write_next = next<ssize_t (*)(int, const void*, size_t)>("write");
    if (write_next(p.log, line, size_t(n)) != n) std::abort();
  }
  return p.at > 0 && (number == p.at || (p.stays && number > p.at));
}

int fault_code() {
  const std::string& kind = plan().kind;
  return kind == "ENOSPC" ? ENOSPC : kind == "EINTR" ? EINTR : EIO;
}

int refused() {
  errno = fault_code();
  return -1;
}

bool opens_to_write(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

bool is_written(int descriptor) {
  const int saved = errno, flags = fcntl(descriptor, F_GETFL);
  errno = saved;
  return flags >= 0 && opens_to_write(flags);
}

int open_as(const char* name, const char* path, int flags, mode_t mode) {
  if (opens_to_write(flags) && fails("open", absolute(path))) return refused();
  return next<int (*)(const char*, int, ...)>(name)(path, flags, mode);
}

FILE* fopen_as(const char* name, const char* path, const char* mode) {
  if (std::strpbrk(mode, "wa+") && fails("open", absolute(path))) {
    errno = fault_code();
    return nullptr;
  }
  return next<FILE* (*)(const char*, const char*)>(name)(path, mode);
}

int clock_answer(timespec* at) {
  static const long back = std::atol(setting("X2CTPA_FAULT_CLOCK"));
  if (back == 0) return 0;
  static const auto clock_next = next<int (*)(clockid_t, timespec*)>("clock_gettime");
  static const timespec start = [] {
    timespec t{};
    clock_next(CLOCK_MONOTONIC, &t);
    return t;
  }();
  timespec now{};
  clock_next(CLOCK_MONOTONIC, &now);
  const double passed =
      double(now.tv_sec - start.tv_sec) + 1e-9 * double(now.tv_nsec - start.tv_nsec);
  if (passed > 0.5) at->tv_sec -= back;
  return 0;
}

}  // namespace

#define X2CTPA_MODE(flags, mode)           \
  mode_t mode = 0;                         \
  if ((flags) & (O_CREAT | __O_TMPFILE)) { \
    va_list arguments;                     \
    va_start(arguments, flags);            \
    mode = mode_t(va_arg(arguments, int)); \
    va_end(arguments);                     \
  }

extern "C" {

int open(const char* path, int flags, ...) {
  X2CTPA_MODE(flags, mode)
  return open_as("open", path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  X2CTPA_MODE(flags, mode)
  return open_as("open64", path, flags, mode);
}
FILE* fopen(const char* path, const char* mode) { return fopen_as("fopen", path, mode); }
FILE* fopen64(const char* path, const char* mode) { return fopen_as("fopen64", path, mode); }

ssize_t write(int descriptor, const void* data, size_t size) {
  static const auto write_next = next<ssize_t (*)(int, const void*, size_t)>("write");
  if (descriptor > 2 && fails("write", path_of(descriptor))) {
    if (plan().kind != "SHORT") return refused();
    size = (size + 1) / 2;
  }
  return write_next(descriptor, data, size);
}

ssize_t writev(int descriptor, const iovec* parts, int count) {
  static const auto writev_next = next<ssize_t (*)(int, const iovec*, int)>("writev");
  if (descriptor > 2 && fails("write", path_of(descriptor))) {
    if (plan().kind != "SHORT") return refused();
    iovec first = parts[0];
    first.iov_len = (first.iov_len + 1) / 2;
    return writev_next(descriptor, &first, 1);
  }
  return writev_next(descriptor, parts, count);
}

int fsync(int descriptor) {
  if (fails("fsync", path_of(descriptor))) return refused();
  return next<int (*)(int)>("fsync")(descriptor);
}

int close(int descriptor) {
  static const auto close_next = next<int (*)(int)>("close");
  const bool failing =
      descriptor > 2 && is_written(descriptor) && fails("close", path_of(descriptor));
  const int code = close_next(descriptor);
  return failing ? refused() : code;
}

int fclose(FILE* file) {
  static const auto fclose_next = next<int (*)(FILE*)>("fclose");
  const int descriptor = file ? fileno(file) : -1;
  const bool failing =
      descriptor > 2 && is_written(descriptor) && fails("close", path_of(descriptor));
  const int code = fclose_next(file);
  return failing ? refused() : code;
}

int rename(const char* from, const char* to) {
  const auto rename_next = next<int (*)(const char*, const char*)>("rename");
  if (!fails("rename", absolute(to))) return rename_next(from, to);
  if (plan().kind == "LATE") rename_next(from, to);
  return refused();
}

int ftruncate(int descriptor, off_t size) {
  if (fails("ftruncate", path_of(descriptor))) return refused();
  return next<int (*)(int, off_t)>("ftruncate")(descriptor, size);
}

int mkdir(const char* path, mode_t mode) {
  if (fails("mkdir", absolute(path))) return refused();
  return next<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}

int clock_gettime(clockid_t clock, timespec* at) {
  static const auto clock_next = next<int (*)(clockid_t, timespec*)>("clock_gettime");
  const int code = clock_next(clock, at);
  return code == 0 && clock == CLOCK_REALTIME ? clock_answer(at) : code;
}

}  // extern "C"
