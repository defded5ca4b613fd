// What a PE classifier may see instead of a volume or an X-ray, through the program: latents of the
// run's autoencoder, and the embedding of a frozen vision transformer.
#include <fmt/format.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "commands/training_fixture.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/pe_classifier.h"
#include "x2ctpa/models/vision_transformer.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class ClassifierInputs : public test::TinyTraining {
 protected:
  static void SetUpTestSuite() {
    TinyTraining::SetUpTestSuite();
    VisionTransformerOptions options;
    options.image_size = 32;
    options.width = 8;
    options.depth = 1;
    options.heads = 2;
    options.mlp_width = 8;
    options.output_dim = 6;
    torch::manual_seed(2);
    save_module(root_ / "encoder", *VisionTransformer(options), options_to_yaml(options));
  }

  // Trains and predicts, and gives the scores of training, which prediction must repeat.
  static CsvTable scores_of(const std::string& run, const std::string& arm,
                            const std::string& options) {
    const fs::path folder = new_run(run) / "classifier" / arm;
    const auto trained = x2ctpa(
        fmt::format("classify train --arm {} --classifier.train.steps 6 {}", arm, options), run);
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    const auto again = x2ctpa(fmt::format("classify predict --arm {} --out {} {}", arm,
                                          (root_ / run / "again.csv").string(), options),
                              run);
    EXPECT_EQ(again.exit_code, 0) << again.err;
    EXPECT_EQ(read_file(root_ / run / "again.csv"), read_file(folder / "scores.csv"));
    return CsvTable::read(folder / "scores.csv");
  }

  // One row for each validation and test case, each with the score of `expected`.
  static void expect_scores(const CsvTable& table, const Dataset& dataset,
                            const std::function<double(const Case&)>& expected) {
    std::map<std::string, double> found;
    for (size_t row = 0; row < table.size(); ++row)
      found[table.at(row, "study_id")] = std::stod(table.at(row, "score"));
    size_t cases = 0;
    for (const char* split : {"val", "test"}) {
      for (const Case& c : dataset.split(split)) {
        ++cases;
        ASSERT_EQ(found.count(c.id), 1u) << c.id;
        EXPECT_NEAR(found[c.id], expected(c), 1e-5) << c.id;
      }
    }
    EXPECT_EQ(table.size(), cases);
  }
};

TEST_F(ClassifierInputs, LatentsOfTheRunsAutoencoderAreSeen) {
  const CsvTable table =
      scores_of("latents", "ctpa", "--classifier.input latent --classifier.folds false");
  const Dataset dataset = Dataset::open(root_ / "latents" / "dataset");
  PeClassifier classifier(root_ / "latents" / "classifier" / "ctpa" / "model", c10::kCPU);
  EXPECT_EQ(classifier.info().input, PeInput::latent);
  const auto codec = load_latent_codec(root_ / "latents" / "vae" / "model", c10::kCPU);
  at::NoGradGuard no_grad;
  expect_scores(table, dataset, [&](const Case& c) {
    return classifier.score(codec->encode(dataset.load_ct(c).unsqueeze(0))[0]);
  });
}

TEST_F(ClassifierInputs, TheEmbeddingOfAFrozenTransformerIsSeen) {
  const CsvTable table =
      scores_of("embedding", "cxr",
                "--classifier.cxr embedding --classifier.folds false --cxr-encoder " +
                    (root_ / "encoder").string());
  const Dataset dataset = Dataset::open(root_ / "embedding" / "dataset");
  PeClassifier classifier(root_ / "embedding" / "classifier" / "cxr" / "model", c10::kCPU);
  EXPECT_EQ(classifier.info().input, PeInput::embedding);
  auto encoder = load_model<VisionTransformer>(root_ / "encoder");
  encoder->eval();
  at::NoGradGuard no_grad;
  expect_scores(table, dataset, [&](const Case& c) {
    return classifier.score(encoder->embed(dataset.load_cxr(c).unsqueeze(0))[0]);
  });
  const auto without = x2ctpa("classify predict --arm cxr", "embedding");
  EXPECT_EQ(without.exit_code, 1);
  EXPECT_NE(without.err.find("--cxr-encoder"), std::string::npos) << without.err;
}

}  // namespace
}  // namespace x2ctpa
