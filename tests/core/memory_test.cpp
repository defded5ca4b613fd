#include "x2ctpa/core/memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

constexpr int64_t megabyte = 1 << 20;

// A tree with 900 MiB free and the given control groups.
class MemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    put("proc/meminfo", "MemTotal: 2000000 kB\nMemFree: 1 kB\nMemAvailable: 921600 kB\n");
  }
  void put(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((folder_.path() / file).parent_path());
    write_file(folder_.path() / file, text);
  }
  int64_t available() { return available_system_memory(folder_.path()); }

  test::TemporaryFolder folder_;
};

TEST_F(MemoryTest, WithoutControlGroupsTheSystemSaysWhatIsFree) {
  EXPECT_EQ(available(), 900 * megabyte);
}

TEST_F(MemoryTest, TheTightestOfTheNestedGroupsOfVersion2Counts) {
  put("proc/self/cgroup", "0::/job/step\n");
  put("sys/fs/cgroup/job/step/memory.max", "max\n");
  put("sys/fs/cgroup/job/step/memory.current", "104857600\n");
  put("sys/fs/cgroup/job/memory.max", "419430400\n");                        // 400 MiB
  put("sys/fs/cgroup/job/memory.current", "209715200\n");                    // 200 MiB
  put("sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 52428800\n");  // 50 MiB
  EXPECT_EQ(available(), 250 * megabyte);
}

TEST_F(MemoryTest, AGroupOfVersion1CountsWhereThePathIsAnotherOnes) {
  put("proc/self/cgroup", "5:cpu:/\n4:memory:/docker/0123\n0::/\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "524288000\n");  // 500 MiB
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600\n");  // 100 MiB
  EXPECT_EQ(available(), 400 * megabyte);
}

TEST_F(MemoryTest, NoLimitOfVersion1IsNoLimit) {
  put("proc/self/cgroup", "4:memory:/\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600\n");
  EXPECT_EQ(available(), 900 * megabyte);
}

TEST_F(MemoryTest, AGroupBeyondItsLimitHasNothingLeft) {
  put("proc/self/cgroup", "0::/\n");
  put("sys/fs/cgroup/memory.max", "1000\n");
  put("sys/fs/cgroup/memory.current", "2000\n");
  EXPECT_EQ(available(), 0);
}

TEST(MemoryBudget, OfAnOptionIsWhatTheProgramHasNotTakenYet) {
  RuntimeOptions options;
  const int64_t free = memory_budget(options, c10::kCPU);
  EXPECT_GT(free, 0);
  EXPECT_LT(free, available_memory(c10::kCPU));
  options.memory_gb = 0.001;
  EXPECT_EQ(memory_budget(options, c10::kCPU), 0);
  options.memory_gb = 1e6;
  EXPECT_GT(memory_budget(options, c10::kCPU), free);
}

TEST(MemoryBudget, OfADeterministicRunDoesNotDependOnWhatIsFree) {
  RuntimeOptions options;
  options.deterministic = true;
  const int64_t before = memory_budget(options, c10::kCPU);
  const std::vector<char> taken(64 << 20, 'x');
  EXPECT_EQ(memory_budget(options, c10::kCPU), before);
  EXPECT_EQ(taken.back(), 'x');
  options.memory_gb = 0.5;
  EXPECT_EQ(memory_budget(options, c10::kCPU), 500000000);
}

TEST_F(MemoryTest, Bf16IsFoundInTheFlagsOfTheProcessor) {
  put("proc/cpuinfo", "processor : 0\nflags\t\t: fpu avx512f avx512_bf16 clzero\n");
  EXPECT_TRUE(cpu_computes_bf16(folder_.path()));
  put("proc/cpuinfo", "processor : 0\nFeatures\t: fp asimd bf16\n");
  EXPECT_TRUE(cpu_computes_bf16(folder_.path()));
  put("proc/cpuinfo", "processor : 0\nflags\t\t: fpu avx512f avx512vl avx_bf16x\n");
  EXPECT_FALSE(cpu_computes_bf16(folder_.path()));
}

}  // namespace
}  // namespace x2ctpa
