#include <array>

#include "x2ctpa/models/codebook.h"

#include "models/helpers.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::relative_error;

CodebookOptions small() {
  CodebookOptions o;
  o.codes = 8;
  o.embedding_dim = 3;
  o.random_restart = false;
  return o;
}

// A codebook that counts as initialised, with the codes it was made with.
Codebook ready(const CodebookOptions& options) {
  Codebook codebook(options);
  named_tensors(*codebook).at("initialised").fill_(1);
  return codebook;
}

TEST(Codebook, FindsTheCodeThatAnExhaustiveSearchFinds) {
  auto codebook = ready(small());
  codebook->eval();
  const auto z = torch::randn({2, 3, 2, 3, 4});
  const auto codes = named_tensors(*codebook).at("embeddings");
  const auto rows = z.permute({0, 2, 3, 4, 1}).reshape({-1, 3});
  const auto expected = torch::cdist(rows, codes).argmin(1).view({2, 2, 3, 4});
  const auto out = codebook->forward(z);
  EXPECT_TRUE(out.indices.equal(expected));
  EXPECT_LT(relative_error(out.quantised, codebook->lookup(expected)), 1e-6);
  EXPECT_LT(relative_error(codebook->nearest_codes(z), codebook->lookup(expected)), 1e-6);
}

TEST(Codebook, FindsCodesAsNearAsAnyForEveryNumberOfCodesRowsAndChannels) {
  for (const auto& [codes, channels, depth] :
       {std::array<int64_t, 3>{37, 5, 133}, {1000, 256, 9}, {5000, 8, 64}, {1, 3, 2}}) {
    auto options = small();
    options.codes = codes;
    options.embedding_dim = channels;
    auto codebook = ready(options);
    codebook->eval();
    const auto z = torch::randn({1, channels, depth, 1, 1});
    const auto rows = z.reshape({channels, depth}).t().to(torch::kDouble);
    const auto distances =
        torch::cdist(rows, named_tensors(*codebook).at("embeddings").to(torch::kDouble));
    const auto found =
        distances.gather(1, codebook->forward(z).indices.view({depth, 1})).squeeze(1);
    EXPECT_LT((found - std::get<0>(distances.min(1))).max().item<double>(), 1e-5)
        << codes << " codes";
  }
}

TEST(Codebook, TakesTheFirstOfEqualCodes) {
  auto options = small();
  options.codes = 40;
  auto codebook = ready(options);
  codebook->eval();
  named_tensors(*codebook).at("embeddings").fill_(1);
  EXPECT_EQ(codebook->forward(torch::randn({1, 3, 2, 3, 4})).indices.max().item<int64_t>(), 0);
}

TEST(Codebook, PassesTheGradientStraightThrough) {
  auto codebook = ready(small());
  codebook->eval();
  const auto z = torch::randn({1, 3, 2, 2, 2}, torch::requires_grad());
  codebook->forward(z).quantised.sum().backward();
  EXPECT_TRUE(z.grad().equal(torch::ones_like(z)));
}

TEST(Codebook, HasThePerplexityOfUniformUseWhenEveryCodeIsUsedOnce) {
  auto codebook = ready(small());
  codebook->eval();
  const auto codes = named_tensors(*codebook).at("embeddings");
  const auto z = codes.t().reshape({1, 3, 2, 2, 2}).contiguous();
  const auto out = codebook->forward(z);
  EXPECT_NEAR(out.perplexity.item<double>(), 8, 1e-4);
  EXPECT_NEAR((out.z - out.nearest).abs().max().item<double>(), 0, 1e-5);
}

TEST(Codebook, MovesACodeByTheMovingAverageOfItsRows) {
  auto options = small();
  options.codes = 1;
  auto codebook = ready(options);
  auto tensors = named_tensors(*codebook);
  tensors.at("N").fill_(1);
  tensors.at("z_avg").copy_(tensors.at("embeddings"));
  const auto before = tensors.at("embeddings").clone();
  const auto z = torch::randn({1, 3, 2, 2, 2});
  codebook->forward(z);
  const auto sums = z.view({3, 8}).sum(1);
  const auto expected = (0.99 * before + 0.01 * sums) / (0.99 + 0.01 * 8);
  EXPECT_LT(relative_error(tensors.at("embeddings"), expected), 1e-5);
}

TEST(Codebook, StartsFromRowsOfTheFirstTrainingBatch) {
  Codebook codebook(small());
  const auto z = torch::randn({1, 3, 4, 4, 4});
  codebook->forward(z);
  const auto codes = named_tensors(*codebook).at("N");
  EXPECT_GT(codes.sum().item<double>(), 0);
  EXPECT_EQ(named_tensors(*codebook).at("initialised").item<int>(), 1);
}

TEST(Codebook, DrawsTheSameCodesFromTheSameGenerator) {
  auto options = small();
  options.random_restart = true;
  const auto z = torch::randn({1, 3, 1, 2, 2});  // fewer rows than codes
  const auto draw = [&](int64_t seed) {
    Codebook codebook(options);
    codebook->forward(z, random_stream(seed, "codebook"));
    return named_tensors(*codebook).at("embeddings").clone();
  };
  EXPECT_TRUE(draw(1).equal(draw(1)));
  EXPECT_FALSE(draw(1).equal(draw(2)));
}

TEST(Codebook, DrawsUnusedCodesAnewFromTheBatch) {
  auto options = small();
  options.random_restart = true;
  auto codebook = ready(options);
  auto tensors = named_tensors(*codebook);
  tensors.at("embeddings").fill_(1000);
  tensors.at("z_avg").fill_(1000);
  codebook->forward(torch::randn({1, 3, 4, 4, 4}));
  EXPECT_LT(tensors.at("embeddings").abs().max().item<double>(), 100);
}

TEST(Codebook, ARestartDrawsTheChosenCodesFromTheBatchAndLeavesTheOthers) {
  auto codebook = ready(small());
  const auto tensors = named_tensors(*codebook);
  const auto before = tensors.at("embeddings").clone();
  const auto z = 10 + torch::randn({1, 3, 2, 2, 2});
  codebook->restart(z, torch::arange(8) < 5, random_stream(1, "restart"));
  const auto codes = tensors.at("embeddings");
  EXPECT_TRUE(at::equal(codes.slice(0, 5), before.slice(0, 5)));
  const auto distance = torch::cdist(codes.slice(0, 0, 5), z.view({3, 8}).t());
  EXPECT_LT(std::get<0>(distance.min(1)).max().item<double>(), 1e-5)
      << "a restarted code is none of the batch's vectors";
  EXPECT_TRUE(at::equal(tensors.at("z_avg").slice(0, 0, 5), codes.slice(0, 0, 5)));
  EXPECT_EQ(tensors.at("N").slice(0, 0, 5).min().item<double>(), 1);
}

}  // namespace
}  // namespace x2ctpa
