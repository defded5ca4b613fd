#include "x2ctpa/core/shard.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

TEST(Shard, EveryItemBelongsToExactlyOneShard) {
  for (int64_t item = 0; item < 50; ++item) {
    int owners = 0;
    for (int i = 1; i <= 4; ++i) owners += shard_from(std::to_string(i) + "/4").owns(item);
    EXPECT_EQ(owners, 1);
  }
}

TEST(Shard, ComesFromTheFlagThenFromTorchrunThenFromSrun) {
  const auto clear = [] {
    for (const char* name :
         {"RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_ID", "SLURM_STEP_ID"})
      unsetenv(name);
  };
  clear();
  EXPECT_EQ(shard_from("").count, 1);
  setenv("SLURM_PROCID", "1", 1), setenv("SLURM_NTASKS", "8", 1);
  EXPECT_EQ(shard_from("").index, 1);
  EXPECT_EQ(shard_from("").count, 8);
  setenv("SLURM_JOB_ID", "77", 1);
  EXPECT_EQ(shard_from("").count, 1) << "a batch script is one process, whatever its job may start";
  setenv("SLURM_STEP_ID", "0", 1);
  EXPECT_EQ(shard_from("").count, 8);
  setenv("RANK", "2", 1), setenv("WORLD_SIZE", "3", 1);
  EXPECT_EQ(shard_from("").index, 2);
  EXPECT_EQ(shard_from("").count, 3);
  EXPECT_EQ(shard_from("5/6").index, 4);
  setenv("RANK", "3", 1);
  EXPECT_THROW(shard_from(""), Error);
  clear();
  for (const char* wrong : {"0/2", "3/2", "1", "1/2x", "a/b"})
    EXPECT_THROW(shard_from(wrong), Error) << wrong;
}

}  // namespace
}  // namespace x2ctpa
