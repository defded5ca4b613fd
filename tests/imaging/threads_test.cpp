// Volumes that many threads read at once, as the workers of `preprocess` do.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "support/temporary_folder.h"
#include "support/test_volumes.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

using namespace test;

void read_in_threads(const std::vector<std::filesystem::path>& files) {
  constexpr int count = 8;
  std::barrier together(count);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      for (const auto& file : files) {
        together.arrive_and_wait();
        read_volume(file);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// ITK 5.2 keeps the name of the last NIfTI file in a string that all threads share. It is moved in
// memory when a longer name comes: hence names of growing length, and many processes.
TEST(Threads, ReadNiftiFilesAtOnceWhateverTheirNames) {
  const TemporaryFolder folder;
  std::vector<std::filesystem::path> files;
  for (const size_t length : {10, 50, 100, 200}) {
    files.push_back(folder / (std::string(length, 'n') + ".nii"));
    write_nifti(linear_field(rotation(5)), files.back(), "SYNTHETIC test");
  }
  for (int process = 0; process < 200; ++process) {
    const pid_t child = fork();
    if (child == 0) {
      read_in_threads(files);
      _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    ASSERT_EQ(status, 0) << "process " << process;
  }
}

}  // namespace
}  // namespace x2ctpa
