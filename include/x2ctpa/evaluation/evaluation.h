// What `evaluate` computes and writes. docs/metrics.md states the protocol of each number.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/evaluation/evaluate_options.h"
#include "x2ctpa/evaluation/evaluation_inputs.h"
#include "x2ctpa/evaluation/image_sources.h"
#include "x2ctpa/evaluation/lesions.h"
#include "x2ctpa/evaluation/score_results.h"
#include "x2ctpa/metrics/statistical_tests.h"

namespace x2ctpa {

/// The numbers of one comparison of a volume with the true one; docs/metrics.md defines them.
namespace metric {
enum Index : int {
  // protocol "paper"
  psnr,
  ssim3d,
  ssim2d,
  ms_ssim3d,
  mae,
  mse,
  lpips,
  // protocol "x2ctpa"
  lung_psnr,
  lung_ssim3d,
  lung_mae,
  gradient_mae,
  sharpness,
  vessel_dice,
  vessel_contrast,
  artery_dice,
  artery_contrast,
  lung_dice,
  projection,
  projection_shortfall,
  // protocol "x2ct"
  x2ct_psnr,
  x2ct_planes_psnr,
  x2ct_planes_ssim,
  x2ct_printed_planes_psnr,
  x2ct_printed_psnr,
  x2ct_mae,
  x2ct_mse,
  x2ct_cosine,
  count
};
}
struct MetricName {
  const char* key;
  const char* label;
  const char* unit;
  const char* protocol;
  const char* better;  ///< "higher", "lower", or the number it should come near
};
extern const std::array<MetricName, metric::count> metric_names;

/// NaN: not measured.
using MetricValues = std::array<double, metric::count>;

struct CaseResult {
  SamplePair pair;
  std::string wrong_case_id;    ///< empty: no other patient to take
  bool same_spacing = true;     ///< as the true volume, within 2%
  double truth_projection = 0;  ///< of the true volume's own DRR and the X-ray; NaN without one
  std::array<std::optional<MetricValues>, source::count> quality;
};

struct MetricSummary {
  int metric = 0;
  std::array<Distribution, source::count> sources;
  std::array<std::optional<BaselineTest>, source::count> tests;  ///< against all but generated
};

/// How much samples of one X-ray differ from each other: means over pairs of samples.
struct Diversity {
  int64_t cases = 0;  ///< with two or more samples
  Distribution mae_hu, ms_ssim;
};

struct ImageEvaluation {
  std::vector<CaseResult> cases;
  std::vector<MetricSummary> metrics;  ///< those that were measured at all
  std::map<int, std::string> untold;   ///< metrics that no case could tell, and why
  Diversity diversity;
  at::Tensor mean_volume;  ///< clipped HU (D, H, W); undefined without training volumes
  int64_t training_volumes = 0;
  Distribution truth_projection;
  LesionEvaluation lesions;                  ///< of the cases with a mask of clots
  int64_t lung_masks = 0, artery_masks = 0;  ///< cases whose lungs and arteries masks gave
  std::string without_references;  ///< why a source of `source::references` is missing, or empty
};

/// A number that compares two sets of pictures by the features of a network.
struct FeatureMeasure {
  std::string key, label, protocol;
  double value = 0;
  int64_t real = 0, generated = 0;  ///< pictures
};

/// How near generated volumes come to training volumes, against how near held-out true ones do.
struct MemorisationCase {
  std::string case_id, nearest;    ///< the training volume nearest to the generated one
  double generated = 0, real = 0;  ///< distances to the nearest training volume
  bool suspicious = false;  ///< less than half of the smallest distance of a held-out true volume
};
struct Memorisation {
  std::string space, distance;  ///< "image" or "latent", and what is measured
  int64_t training = 0;
  std::vector<MemorisationCase> cases;
  std::optional<WilcoxonResult> test;  ///< generated - real
};

struct Evaluation {
  EvaluationInputs inputs;
  EvaluateOptions options;
  int64_t seed = 0;
  ImageEvaluation images;
  ScoreEvaluation scores;
  std::vector<FeatureMeasure> features;
  std::vector<Memorisation> memorisation;
  std::vector<std::pair<std::string, std::string>> provenance;  ///< name, value
  std::vector<Problem> problems;                                ///< of inputs, images and scores
};

}  // namespace x2ctpa
