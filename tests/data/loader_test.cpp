#include <fmt/format.h>

#include "x2ctpa/data/loader.h"

#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "data/synthetic_study.h"
#include "x2ctpa/data/latent_cache.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::error_of;
using test::TemporaryFolder;

// `count` training cases whose volumes hold their own number.
Dataset numbered_set(const TemporaryFolder& folder, int count, int without_cxr = -1) {
  DatasetInfo info;
  info.grid_dhw = {2, 3, 4};
  info.window = {0, 100};
  info.cxr_size = 6;
  std::vector<Case> cases;
  for (int i = 0; i < count; ++i) {
    Case c{
        fmt::format("c{}", i), fmt::format("p{}", i), "train", {}, fmt::format("ct/{}.nii", i), ""};
    if (i % 2 == 0) c.pe = 1;
    write_nifti({torch::full({2, 3, 4}, float(i))}, folder / c.ct, "test");
    if (i != without_cxr) {
      c.cxr = fmt::format("cxr/{}.png", i);
      write_png16(test::picture(6, i), folder / c.cxr);
    }
    cases.push_back(c);
  }
  write_dataset(folder.path(), info, cases);
  return Dataset::open(folder.path());
}

std::vector<std::string> ids(const Batch& batch) {
  std::vector<std::string> found;
  for (const Case& c : batch.cases) found.push_back(c.id);
  return found;
}

std::vector<std::string> stream(CaseLoader& loader, int batches) {
  std::vector<std::string> found;
  for (int i = 0; i < batches; ++i) {
    for (const std::string& id : ids(loader.next())) found.push_back(id);
  }
  return found;
}

TEST(CaseLoader, ABatchHoldsTheTensorsOfItsCases) {
  TemporaryFolder folder;
  const Dataset set = numbered_set(folder, 5);
  CaseLoader loader(set, "train", {.batch_size = 3, .seed = 1});
  const Batch batch = loader.next();
  EXPECT_EQ(batch.ct.sizes(), (std::vector<int64_t>{3, 1, 2, 3, 4}));
  EXPECT_EQ(batch.cxr.sizes(), (std::vector<int64_t>{3, 1, 6, 6}));
  for (int64_t i = 0; i < 3; ++i) {
    const int number = std::stoi(batch.cases[size_t(i)].id.substr(1));
    EXPECT_NEAR(set.info().window.to_hu(batch.ct[i]).mean().item<float>(), number, 1e-3);
    EXPECT_EQ(batch.pe[i].item<float>(), number % 2 == 0 ? 1 : -1);
  }
}

TEST(CaseLoader, AnEpochHoldsEveryCaseOnceInAnotherOrderThanTheLast) {
  TemporaryFolder folder;
  const Dataset set = numbered_set(folder, 12);
  CaseLoader loader(set, "train", {.batch_size = 4, .seed = 1});
  EXPECT_EQ(loader.batches_per_epoch(), 3);
  const auto first = stream(loader, 3), second = stream(loader, 3);
  EXPECT_EQ(std::set<std::string>(first.begin(), first.end()).size(), 12u);
  EXPECT_EQ(std::set<std::string>(second.begin(), second.end()).size(), 12u);
  EXPECT_NE(first, second);
}

TEST(CaseLoader, ARestoredStreamGoesOnExactly) {
  TemporaryFolder folder;
  const Dataset set = numbered_set(folder, 7);
  const LoaderOptions options{.batch_size = 2, .seed = 4, .prefetch = 3};
  CaseLoader loader(set, "train", options);
  stream(loader, 5);
  const auto state = loader.state();
  const auto expected = stream(loader, 9);
  CaseLoader other(set, "train", options);
  stream(other, 2);  // what was read ahead must not leak into the restored stream
  other.restore(state);
  EXPECT_EQ(stream(other, 9), expected);
}

TEST(CaseLoader, RanksShareTheStreamWithoutOverlap) {
  TemporaryFolder folder;
  const Dataset set = numbered_set(folder, 8);
  CaseLoader first(set, "train", {.batch_size = 2, .seed = 4, .rank = 0, .world = 2});
  CaseLoader second(set, "train", {.batch_size = 2, .seed = 4, .rank = 1, .world = 2});
  EXPECT_EQ(first.batches_per_epoch(), 2);
  auto seen = stream(first, 2);
  for (const auto& id : stream(second, 2)) seen.push_back(id);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 8u);
}

TEST(CaseLoader, ASplitSmallerThanABatchWorks) {
  TemporaryFolder folder;
  CaseLoader loader(numbered_set(folder, 2), "train", {.batch_size = 5});
  EXPECT_EQ(loader.next().ct.size(0), 5);
}

TEST(CaseLoader, ThePresenceOfACacheDoesNotChangeABatch) {
  TemporaryFolder folder;
  const Dataset set = numbered_set(folder, 4);
  CaseLoader with(set, "train", {.batch_size = 3, .cache_mb = 100});
  CaseLoader without(set, "train", {.batch_size = 3, .cache_mb = 0});
  for (int i = 0; i < 4; ++i) {
    const Batch a = with.next(), b = without.next();
    EXPECT_TRUE(torch::equal(a.ct, b.ct));
    EXPECT_TRUE(torch::equal(a.cxr, b.cxr));
  }
}

TEST(CaseLoader, ACachedSplitIsReadFromTheDiskOnce) {
  TemporaryFolder folder;
  CaseLoader loader(numbered_set(folder, 3), "train", {.batch_size = 3});
  loader.next();
  fs::remove_all(folder / "ct");
  EXPECT_NO_THROW(stream(loader, 4));
}

TEST(CaseLoader, ACaseThatSeveralThreadsWantIsReadOnce) {
  TemporaryFolder folder;
  const Dataset set = numbered_set(folder, 3);
  std::atomic<int> reads = 0;
  const BatchContent content{.more = {{"slow", [&](const Case&) {
                                         ++reads;
                                         std::this_thread::sleep_for(std::chrono::milliseconds(20));
                                         return torch::zeros({1});
                                       }}}};
  CaseLoader loader(set, "train", {.batch_size = 3, .prefetch = 4}, content);
  stream(loader, 4);
  EXPECT_EQ(reads, 3);
}

TEST(CaseLoader, AnErrorInAThreadReachesTheCallerWithTheCaseAndKeepsThePosition) {
  TemporaryFolder folder;
  const Dataset set = numbered_set(folder, 3);
  fs::rename(folder / "ct/1.nii", folder / "hidden.nii");
  CaseLoader loader(set, "train", {.batch_size = 3, .prefetch = 2, .cache_mb = 0});
  EXPECT_CONTAINS(error_of([&] { loader.next(); }), "case c1");
  EXPECT_EQ(loader.state().batches, 0);
  fs::rename(folder / "hidden.nii", folder / "ct/1.nii");
  EXPECT_EQ(loader.next().cases.size(), 3u);
}

TEST(CaseLoader, CasesWithoutWhatIsAskedForAreLeftOut) {
  TemporaryFolder folder;
  const Dataset set = numbered_set(folder, 4, 2);
  EXPECT_EQ(CaseLoader(set, "train", {}).cases(), 3);
  CaseLoader ct_only(set, "train", {}, {.cxr = false});
  EXPECT_EQ(ct_only.cases(), 4);
  EXPECT_FALSE(ct_only.next().cxr.defined());
  EXPECT_CONTAINS(error_of([&] { CaseLoader(set, "val", {}); }), "'val'");
}

TEST(LatentCache, ALatentReadsBackBitForBit) {
  TemporaryFolder folder;
  LatentCache cache(folder.path(), "autoencoder-1");
  const std::vector<Case> cases = {{"a"}, {"b"}};
  const at::Tensor latent = torch::randn({4, 2, 3, 3}).transpose(1, 2);
  cache.put(cases[0], latent);
  EXPECT_TRUE(torch::equal(cache.get(cases[0]), latent));
  EXPECT_FALSE(cache.complete(cases));
  cache.put(cases[1], latent);
  EXPECT_TRUE(cache.complete(cases));
}

TEST(LatentCache, ALatentCutShortDoesNotCount) {
  TemporaryFolder folder;
  LatentCache cache(folder.path(), "autoencoder-1");
  const Case c{"a"};
  cache.put(c, torch::ones({64}));
  const fs::path file = cache.folder() / "a.safetensors";
  fs::resize_file(file, fs::file_size(file) - 8);
  EXPECT_FALSE(cache.has(c));
  cache.put(c, torch::ones({64}));
  EXPECT_TRUE(cache.has(c));
}

TEST(LatentCache, LatentsOfAnotherAutoencoderAreNotSeen) {
  TemporaryFolder folder;
  const Case c{"a"};
  LatentCache first(folder.path(), "autoencoder-1"), second(folder.path(), "autoencoder-2");
  first.put(c, torch::ones({2}));
  EXPECT_FALSE(second.has(c));
  fs::create_directories(second.folder());
  fs::copy(first.folder() / "a.safetensors", second.folder() / "a.safetensors");
  EXPECT_CONTAINS(error_of([&] { second.get(c); }), "key");
}

}  // namespace
}  // namespace x2ctpa
