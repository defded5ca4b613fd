#include "training/codebook_usage.h"

#include <gtest/gtest.h>

#include <cmath>

#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

TEST(CodebookUsage, PerplexityIsThatOfTheWholeEpochNotOfItsBatches) {
  CodebookUsage usage(8);
  EXPECT_TRUE(std::isnan(usage->last_perplexity()));
  usage->add(at::zeros({4}, at::kLong));  // each batch alone has a perplexity of 1
  usage->add(at::ones({1, 2, 2}, at::kLong));
  usage->end_epoch();
  EXPECT_NEAR(usage->last_perplexity(), 2, 1e-9);
  EXPECT_NEAR(usage->last_use(), 0.25, 1e-9);
  EXPECT_EQ(usage->unused().sum().item<int64_t>(), 6);
  usage->add(at::arange(8, at::kLong));
  usage->end_epoch();
  EXPECT_NEAR(usage->last_perplexity(), 8, 1e-9) << "counts of the epoch before are still there";
}

TEST(CodebookUsage, CountsOfAllProcessesAreSummed) {
  CodebookUsage usage(4);
  usage->add(at::zeros({2}, at::kLong), [](at::Tensor& counts) {
    counts.add_(at::tensor({0, 2, 0, 0}, at::kLong));
  });
  usage->end_epoch();
  EXPECT_NEAR(usage->last_perplexity(), 2, 1e-9);
}

TEST(CodebookUsage, TravelsInACheckpoint) {
  CodebookUsage a(4), b(4);
  a->add(at::arange(3, at::kLong));
  TensorMap copies;
  for (const auto& [name, tensor] : named_tensors(*a)) copies[name] = tensor.clone();
  load_tensors(*b, copies, "the checkpoint");
  b->add(at::tensor({3}, at::kLong));
  b->end_epoch();
  EXPECT_NEAR(b->last_perplexity(), 4, 1e-9);
}

}  // namespace
}  // namespace x2ctpa
