// libFuzzer's entry. X2CTPA_FUZZ_TARGET names the target; scripts/fuzz.sh runs them all, with the
// limits of memory and time that docs/reliability.md states.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "fuzz/targets.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa::fuzz {
namespace {

namespace fs = std::filesystem;

Reader chosen = nullptr;
fs::path folder;

Reader find_target(std::string_view name) {
  for (const auto targets : {image_targets(), table_targets()})
    for (const Target& target : targets)
      if (target.name == name) return target.read;
  return nullptr;
}

void empty_folder() {
  for (const auto& entry : fs::directory_iterator(folder)) fs::remove_all(entry.path());
}

void remove_folder() {
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

}  // namespace

fs::path put(std::string_view bytes, const fs::path& where, std::string_view name) {
  const fs::path file = where / name;
  std::ofstream(file, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
  return file;
}

void require(bool fact, const char* what) {
  if (fact) return;
  std::fprintf(stderr, "finding: %s\n", what);
  std::abort();
}

}  // namespace x2ctpa::fuzz

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  namespace fs = std::filesystem;
  using namespace x2ctpa::fuzz;
  const char* name = std::getenv("X2CTPA_FUZZ_TARGET");
  chosen = find_target(name ? name : "");
  if (!chosen) {
    std::fprintf(stderr, "X2CTPA_FUZZ_TARGET must be one of:");
    for (const auto targets : {image_targets(), table_targets()})
      for (const Target& target : targets)
        std::fprintf(stderr, " %.*s", int(target.name.size()), target.name.data());
    std::fprintf(stderr, "\n");
    std::exit(2);
  }
  x2ctpa::set_verbosity(x2ctpa::Verbosity::quiet);
  // In memory where the system has such a place: a disk would set the pace.
  const fs::path memory = "/dev/shm";
  const fs::path where = fs::is_directory(memory) ? memory : fs::temp_directory_path();
  folder = where / ("x2ctpa-fuzz-" + std::to_string(getpid()));
  fs::create_directories(folder);
  std::atexit(remove_folder);
  return 0;
}

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace x2ctpa::fuzz;
  empty_folder();
  try {
    chosen({reinterpret_cast<const char*>(data), size}, folder);
  } catch (const x2ctpa::Error& e) {
    require(e.what()[0] != '\0', "an error without a text");
  }
  return 0;
}
