#include "x2ctpa/evaluation/evaluate_options.h"

namespace x2ctpa {

void EvaluateOptions::describe(OptionList& options) {
  options.add(
      "window_hu", &window_hu,
      "Volumes are clipped to these HU before comparison; empty takes the dataset's window.",
      {.count = 2});
  options.add("split", &split, "Cases that are evaluated.",
              {.choices = {"train", "val", "test", "all"}});
  options.add("bootstrap", &bootstrap,
              "Bootstrap resamples of each AUC; 0 leaves the interval out.",
              {.min = 0, .max = 1e6});
  options.add("threshold", &threshold,
              "Score from which a case counts as PE when the table has neither a threshold nor "
              "validation rows.");
  options.add("report_cases", &report_cases,
              "Cases with pictures in the report, from best to worst PSNR.", {.min = 0, .max = 50});
  options.add(
      "protocols", &protocols,
      "Measured besides the numbers of x2ctpa: paper (slices and volumes in the window), x2ct "
      "(X2CT-GAN's range and planes, with the numbers that its code prints), maisi-2.5d (FID over "
      "three planes).",
      {.choices = {"paper", "x2ct", "maisi-2.5d"}});
  options.add("audit", &audit, "Look for the training volume nearest to each generated one.");
  options.add("references", &references,
              "Also measure what the run's autoencoder and its regression make alone.");
  options.add("published", &published,
              "Also show the figures that X-ray2CTPA printed for its own patients.");
  options.add("feature_size", &feature_size,
              "Side in pixels to which slices are resized for --features under paper; 0: none.",
              {.min = 0, .max = 2048});
  options.add("feature_every", &feature_every,
              "Every n-th slice goes through --features; 1 takes all.", {.min = 1});
}

}  // namespace x2ctpa
