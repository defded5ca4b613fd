#include "core/buffer_pool.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace x2ctpa {
namespace {

constexpr int64_t page = 2 << 20;

int64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  int64_t size = 0, pages = 0;
  in >> size >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

// A pool of its own would free into that of the process, so the tests share that one, emptied.
class BufferPoolTest : public testing::Test {
 protected:
  BufferPoolTest() { pool().release(); }
  ~BufferPoolTest() override { pool().release(); }
  static BufferPool& pool() { return BufferPool::instance(); }

  // A tensor of bytes, each `value`.
  static at::Tensor filled(int64_t bytes, int value) {
    auto data = std::make_shared<c10::DataPtr>(pool().allocate(size_t(bytes)));
    return at::from_blob(
               data->get(), {bytes}, [data](void*) {}, at::kByte)
        .fill_(value);
  }
};

TEST_F(BufferPoolTest, SmallBlocksAreLeftToLibtorch) {
  filled(page - 1, 1).reset();
  EXPECT_EQ(pool().kept_bytes(), 0);
}

TEST_F(BufferPoolTest, AFreedBufferServesTheNextOfItsSize) {
  auto first = filled(3 * page - 5, 1);
  const void* place = first.data_ptr();
  first.reset();
  EXPECT_EQ(pool().kept_bytes(), 3 * page);
  EXPECT_EQ(filled(3 * page, 2).data_ptr(), place);
}

TEST_F(BufferPoolTest, OtherSizesTakeThePagesOfFreedOnesAndHoldNoMore) {
  std::vector<at::Tensor> parts;
  int64_t most = 0;
  for (int64_t i = 0; i < 40; ++i) {
    parts.push_back(filled((1 + i % 3) * page, int(i)));
    most += (1 + i % 3) * page;
  }
  const int64_t resident = resident_bytes();
  for (size_t i = 0; i < parts.size(); i += 2) parts[i].reset();
  const int64_t kept = pool().kept_bytes();
  {
    const auto whole = filled(kept - 7, 200);
    EXPECT_EQ(pool().kept_bytes(), 0);
    EXPECT_LT(resident_bytes(), resident + 2 * page);
    EXPECT_EQ(whole.eq(200).all().item<bool>(), true);
    // What is in use has kept its values.
    for (size_t i = 1; i < parts.size(); i += 2)
      EXPECT_TRUE(parts[i].eq(int64_t(i)).all().item<bool>());
  }
  // More than was freed: the pages that there are, and fresh ones.
  auto more = filled(kept + 5 * page, 9);
  EXPECT_TRUE(more.eq(9).all().item<bool>());
  more.reset();
  parts.clear();
  EXPECT_EQ(pool().kept_bytes(), most + 5 * page);
}

TEST_F(BufferPoolTest, WhatIsNotInUseGoesBackToTheSystem) {
  const int64_t before = resident_bytes();
  auto tensor = filled(200 * page, 1);
  EXPECT_GT(resident_bytes(), before + 190 * page);
  tensor.reset();
  EXPECT_GT(resident_bytes(), before + 190 * page);
  pool().release();
  EXPECT_LT(resident_bytes(), before + 10 * page);
  EXPECT_EQ(pool().kept_bytes(), 0);
}

TEST_F(BufferPoolTest, ThreadsGetBuffersOfTheirOwn) {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong, t] {
      std::vector<std::pair<at::Tensor, int>> held;
      for (int i = 0; i < 60; ++i) {
        held.emplace_back(filled((1 + (i * 7 + t) % 5) * page, (i + 50 * t) % 251),
                          (i + 50 * t) % 251);
        if (held.size() < 6) continue;
        const auto& [tensor, value] = held[size_t(i * 5 % 6)];
        wrong[size_t(t)] += !tensor.eq(value).all().item<bool>();
        held.erase(held.begin() + i % 6);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST_F(BufferPoolTest, MoreThanThereIsIsOutOfMemory) {
  EXPECT_THROW(pool().allocate(size_t{1} << 60), c10::OutOfMemoryError);
}

}  // namespace
}  // namespace x2ctpa
