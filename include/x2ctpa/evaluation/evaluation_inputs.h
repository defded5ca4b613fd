// What `evaluate` reads.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"

namespace x2ctpa {

/// Something left out or doubtful. `failure`: it should have been evaluated and could not be.
struct Problem {
  std::string kind, name, detail;
  bool failure = false;
};

/// A generated volume and the true one of the same case.
struct SamplePair {
  std::string case_id, patient_id;
  std::filesystem::path generated, real, cxr;  ///< cxr may be empty
  std::filesystem::path vessels;  ///< mask of the pulmonary arteries in the true volume, or empty
  /// Masks of the dataset (mask_file()), by kind; those that are there.
  std::map<std::string, std::filesystem::path> masks;
  std::vector<std::filesystem::path> further;        ///< more samples of the same X-ray
  std::string sampler, steps, seed, guidance_scale;  ///< as in samples.csv; may be empty
};

struct ScoreTable {
  std::string name;
  std::filesystem::path file;
};

struct EvaluationInputs {
  std::string title;
  std::filesystem::path run;  ///< empty for plain folders
  std::vector<SamplePair> pairs;
  std::vector<std::filesystem::path> training_volumes;
  std::vector<Case> training_cases;  ///< of the same order; empty for plain folders
  std::optional<Dataset> dataset;    ///< of the run
  std::vector<ScoreTable> scores;
  IntensityWindow window;
  std::string window_source;  ///< "dataset", "evaluate.window_hu" or "default"
  std::string dataset_hash;
  DatasetInfo info;                                  ///< of the dataset, or the defaults
  std::map<std::string, std::optional<int>> labels;  ///< of the dataset's cases, by id
  std::filesystem::path model;                       ///< the diffusion model's folder, or empty
  bool model_is_given = false;                       ///< by the user: it must then fit the dataset
  std::filesystem::path autoencoder;  ///< model folder for distances of latents, or empty
  std::filesystem::path lpips, features, video_features;  ///< networks given, or empty
  std::optional<double> reconstruction_psnr_db;  ///< mean over held-out cases; of the VQ-GAN alone
  int64_t reconstruction_cases = 0;
  std::vector<Problem> problems;
};

}  // namespace x2ctpa
