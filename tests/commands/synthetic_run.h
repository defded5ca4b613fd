// A run folder as the stages before `evaluate` leave it, made in a second: thoraces of ellipsoids
// whose shape differs by patient, samples that are noisy copies, scores of three arms.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa::test {

struct SyntheticRun {
  int64_t train = 6, val = 8, test = 9;
  std::array<int64_t, 3> grid_dhw{20, 36, 40};
};

inline at::Tensor ellipsoid(const Volume& v, const Vec3& centre, const Vec3& radii) {
  const auto axis = [&](int64_t n, double c, double r) {
    return ((torch::arange(n, torch::kDouble) / double(n - 1) * 2 - 1 - c) / r).square();
  };
  const auto size = v.size_dhw();
  return (axis(size[0], centre[2], radii[2]).view({-1, 1, 1}) +
          axis(size[1], centre[1], radii[1]).view({1, -1, 1}) +
          axis(size[2], centre[0], radii[0]).view({1, 1, -1})) < 1;
}

/// Head at high D, anterior at low H, the patient's right at low W; the heart lies to the left and
/// the spine behind, so that a turned picture is seen at once.
inline Volume thorax(const std::array<int64_t, 3>& grid, int64_t index) {
  std::mt19937_64 engine(stream_seed(11, std::to_string(index)));
  std::uniform_real_distribution<double> vary(0.82, 1.18);
  Volume v;
  v.spacing_mm = {340.0 / double(grid[2]), 260.0 / double(grid[1]), 300.0 / double(grid[0])};
  v.hu = torch::full({grid[0], grid[1], grid[2]}, -1000.0);
  const auto paint = [&](const Vec3& centre, Vec3 radii, double hu) {
    for (auto& r : radii) r *= vary(engine);
    v.hu.masked_fill_(ellipsoid(v, centre, radii), hu);
  };
  v.hu.masked_fill_(ellipsoid(v, {0, 0, 0}, {0.95, 0.9, 3}), 40);
  paint({-0.42, 0, 0.1}, {0.34, 0.6, 0.75}, -850);
  paint({0.42, 0, 0.1}, {0.32, 0.6, 0.75}, -850);
  paint({0.12, -0.15, -0.15}, {0.28, 0.32, 0.35}, 180);                 // heart
  paint({0.0, -0.05, 0.3}, {0.5, 0.08, 0.05}, 350);                     // pulmonary arteries
  v.hu.masked_fill_(ellipsoid(v, {0, 0.68, 0}, {0.12, 0.14, 3}), 450);  // spine
  return v;
}

inline std::string padded(int64_t i) { return fmt::format("{:03d}", i); }

inline void write_scores(const std::filesystem::path& file, const std::vector<Case>& cases,
                         double skill, int64_t seed) {
  std::mt19937_64 engine(stream_seed(seed, "scores"));
  std::normal_distribution<double> normal;
  CsvTable table({"study_id", "patient_id", "label", "score", "split", "threshold"});
  for (const Case& c : cases) {
    if (c.split == "train") continue;
    const double score = 1 / (1 + std::exp(-(normal(engine) + skill * (*c.pe - 0.5))));
    table.add(
        {c.id, c.patient_id, std::to_string(*c.pe), fmt::format("{:.6f}", score), c.split, "0.45"});
  }
  table.write(file);
}

inline void write_synthetic_run(const std::filesystem::path& run,
                                const SyntheticRun& options = {}) {
  namespace fs = std::filesystem;
  DatasetInfo info;
  info.grid_dhw = options.grid_dhw;
  info.cxr_size = 64;
  std::vector<Case> cases;
  CsvTable samples({"name", "case_id", "patient_id", "split", "file", "seed", "steps", "sampler",
                    "guidance_scale", "seconds"});
  fs::create_directories(run / "dataset" / "ct");
  fs::create_directories(run / "samples");
  for (int64_t i = 0; i < options.train + options.val + options.test; ++i) {
    const std::string id = "case" + padded(i), patient = "p" + padded(i);
    Case c{id,
           patient,
           i < options.train                 ? "train"
           : i < options.train + options.val ? "val"
                                             : "test",
           int(i % 2),
           "ct/" + id + ".nii",
           "cxr/" + id + ".png"};
    const Volume truth = thorax(options.grid_dhw, i);
    write_nifti(truth, run / "dataset" / c.ct, "true");
    const auto xray = truth.hu.clamp(-1000, 500).mean(1).flip(0);
    const auto bright = (xray - xray.min()) / (xray.max() - xray.min());
    write_png16(square_radiograph(bright.to(torch::kFloat), info.cxr_size),
                run / "dataset" / c.cxr);
    cases.push_back(c);
    if (c.split != "test") continue;
    Volume made = truth;
    made.hu = (truth.hu + 20 * (1 + 0.1 * double(i % 5)) * case_noise(3, id, 0, truth.hu.sizes()))
                  .to(torch::kFloat);
    write_nifti(made, run / "samples" / (id + ".nii.gz"), "SYNTHETIC");
    samples.add({id, id, patient, "test", id + ".nii.gz", "3", "20", "ddim", "1", "0.5"});
  }
  write_dataset(run / "dataset", info, cases);
  samples.write(run / "samples" / "samples.csv");
  write_scores(run / "classifier" / "ctpa" / "scores.csv", cases, 3, 1);
  write_scores(run / "classifier" / "cxr" / "scores.csv", cases, 1, 2);
  write_scores(run / "classifier" / "generated" / "scores.csv", cases, 2, 3);
  CsvTable reconstruction({"case_id", "psnr_db"});
  reconstruction.add({"case006", "31"});
  reconstruction.add({"case007", "33"});
  reconstruction.write(run / "vae" / "reconstruction.csv");
  for (const char* stage : {"vae", "diffusion"}) {
    std::string lines;
    for (int step = 1; step <= 300; ++step) {
      std::string line = fmt::format("{{\"step\":{},\"loss\":{:.5f}", step,
                                     0.02 + std::exp(-step / 60.0) * (1 + 0.1 * std::sin(step)));
      if (step % 50 == 0)
        line += fmt::format(",\"val_loss\":{:.5f}", 0.025 + std::exp(-step / 60.0));
      lines += line + "}\n";
    }
    write_file(run / stage / "metrics.jsonl", lines);
  }
}

}  // namespace x2ctpa::test
