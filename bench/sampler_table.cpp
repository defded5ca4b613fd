// Sampler x steps against quality and time, for a run folder's own model and held-out cases.
//
//   sampler_table --run RUN --csv table.csv [--samplers ddim,unipc] [--steps 4,8,1000] [--seeds
//   0,1]
//
// Adds the rows that the table does not hold yet, so that it can be stopped and run again, and
// prints the whole table as Markdown. docs/sampling.md states the protocol.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/inference/ctpa_generator.h"
#include "x2ctpa/metrics/feature_distances.h"
#include "x2ctpa/metrics/image_quality.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> columns = {"sampler",
                                          "steps",
                                          "guidance_scale",
                                          "seed",
                                          "cases",
                                          "psnr_db",
                                          "psnr_sem",
                                          "ssim_3d",
                                          "ssim_sem",
                                          "feature_distance",
                                          "denoiser_s_per_volume",
                                          "s_per_volume"};

struct Arguments {
  std::string run = "runs/demo", csv = "sampler_table.csv", split = "test";
  std::vector<std::string> samplers{"ddpm", "ddim", "dpmpp2m", "unipc"};
  std::vector<int64_t> steps{4, 8, 15, 25, 50, 100, 1000}, seeds{0};
  std::vector<double> guidance{1};
  int64_t cases = 48, batch = 8;
  std::string device = "auto";
};

struct HeldOut {
  std::vector<Case> cases;
  std::vector<at::Tensor> truths, pictures;  // HU clipped to the window; X-rays
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Features of the PE classifier of true volumes before its last layer. (N, F) float64
class Features {
 public:
  Features(const fs::path& classifier, const IntensityWindow& window)
      : model_(load_model<DenseNet3d>(classifier)), window_(window) {
    model_->eval();
  }

  at::Tensor of(const std::vector<at::Tensor>& volumes) {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> rows;
    for (const auto& hu : volumes)
      rows.push_back(model_->features(window_.to_unit(hu).unsqueeze(0).unsqueeze(0)));
    return at::cat(rows).to(at::kDouble);
  }

 private:
  DenseNet3d model_;
  IntensityWindow window_;
};

// The kernel distance of features in units of the true ones' deviation.
double feature_distance(const at::Tensor& real, const at::Tensor& made) {
  const auto mean = real.mean(0), scale = real.std(0).clamp_min(1e-9);
  return kernel_distance((real - mean) / scale, (made - mean) / scale);
}

HeldOut held_out(const Dataset& dataset, const Arguments& arguments) {
  HeldOut out;
  const auto& window = dataset.info().window;
  for (const Case& c : dataset.split(arguments.split)) {
    if (c.ct.empty() || c.cxr.empty() || int64_t(out.cases.size()) == arguments.cases) continue;
    out.cases.push_back(c);
    out.truths.push_back(dataset.load_volume(c).hu.clamp(window.min_hu, window.max_hu));
    out.pictures.push_back(dataset.load_cxr(c));
  }
  if (out.cases.size() < 2)
    throw Error("the table needs at least two held-out cases with a CT and an X-ray",
                ExitCode::no_data);
  return out;
}

std::string mean_and_error(const std::vector<double>& values, std::string& error) {
  const auto v = at::tensor(values, at::kDouble);
  error = fmt::format("{:.4g}", v.std().item<double>() / std::sqrt(double(values.size())));
  return fmt::format("{:.4f}", v.mean().item<double>());
}

std::vector<std::string> measure(CtpaGenerator& generator, const HeldOut& set,
                                 const SamplerOptions& sampler, int64_t seed, int64_t batch,
                                 Features& features, const at::Tensor& real) {
  double denoising = 0, whole = 0;
  std::vector<at::Tensor> made;
  std::vector<double> psnr, ssim;
  for (size_t first = 0; first < set.cases.size(); first += size_t(batch)) {
    stop_if_interrupted();
    std::vector<SampleRequest> requests;
    for (size_t i = first; i < std::min(set.cases.size(), first + size_t(batch)); ++i)
      requests.push_back({set.cases[i].id, set.pictures[i]});
    const auto start = std::chrono::steady_clock::now();
    const auto latents = generator.latents(requests, sampler, seed);
    denoising += seconds_since(start);
    const auto hu = generator.decode(latents, requests);
    whole += seconds_since(start);
    for (int64_t i = 0; i < hu.size(0); ++i) made.push_back(hu[i].clone());
  }
  const auto& window = generator.info().window;
  for (size_t i = 0; i < made.size(); ++i) {
    const auto quality = image_quality(set.truths[i], made[i], window.max_hu - window.min_hu);
    psnr.push_back(quality.psnr_db);
    ssim.push_back(quality.ssim_3d);
  }
  const double n = double(made.size());
  std::string psnr_sem, ssim_sem;
  const std::string psnr_text = mean_and_error(psnr, psnr_sem),
                    ssim_text = mean_and_error(ssim, ssim_sem);
  return {sampler.kind,
          std::to_string(sampler.steps),
          fmt::format("{}", sampler.guidance_scale),
          std::to_string(seed),
          std::to_string(made.size()),
          psnr_text,
          psnr_sem,
          ssim_text,
          ssim_sem,
          fmt::format("{:.5f}", feature_distance(real, features.of(made))),
          fmt::format("{:.4f}", denoising / n),
          fmt::format("{:.4f}", whole / n)};
}

void print_markdown(const CsvTable& table) {
  std::string head, rule;
  for (const auto& column : table.columns()) head += "| " + column + " ", rule += "|---";
  std::cout << head << "|\n" << rule << "|\n";
  for (size_t r = 0; r < table.size(); ++r) {
    for (const auto& column : table.columns()) std::cout << "| " << table.at(r, column) << " ";
    std::cout << "|\n";
  }
}

void make_table(const Arguments& arguments) {
  const fs::path run = arguments.run;
  const Dataset dataset = Dataset::open(run / "dataset");
  const HeldOut set = held_out(dataset, arguments);
  RuntimeOptions runtime;
  runtime.device = arguments.device;
  configure_runtime(runtime);
  CtpaGenerator generator(run / "diffusion" / "model", runtime);
  Features features(run / "classifier" / "ctpa" / "model", dataset.info().window);
  const auto real = features.of(set.truths);
  CsvTable table = fs::exists(arguments.csv) ? CsvTable::read(arguments.csv) : CsvTable(columns);
  table.require_columns(columns);
  const auto known = [&](const SamplerOptions& s, int64_t seed) {
    for (size_t r = 0; r < table.size(); ++r) {
      if (table.at(r, "sampler") == s.kind && table.at(r, "steps") == std::to_string(s.steps) &&
          table.at(r, "seed") == std::to_string(seed) &&
          table.at(r, "guidance_scale") == fmt::format("{}", s.guidance_scale))
        return true;
    }
    return false;
  };
  SamplerOptions sampler;
  for (const double scale : arguments.guidance)
    for (const int64_t steps : arguments.steps)
      for (const auto& kind : arguments.samplers)
        for (const int64_t seed : arguments.seeds) {
          sampler.kind = kind, sampler.steps = steps, sampler.guidance_scale = scale;
          if (known(sampler, seed)) continue;
          table.add(measure(generator, set, sampler, seed, arguments.batch, features, real));
          table.write(arguments.csv);
          log_info("{} {} seed {}: PSNR {}, SSIM {}, feature distance {}", kind, steps, seed,
                   table.at(table.size() - 1, "psnr_db"), table.at(table.size() - 1, "ssim_3d"),
                   table.at(table.size() - 1, "feature_distance"));
        }
  print_markdown(table);
}

}  // namespace
}  // namespace x2ctpa

int main(int argc, char** argv) {
  x2ctpa::Arguments arguments;
  CLI::App app("Sampler x steps against quality and time, on the held-out cases of a run folder.");
  app.add_option("--run", arguments.run,
                 "Run folder with dataset/, diffusion/model and classifier/ctpa/model.")
      ->capture_default_str();
  app.add_option("--csv", arguments.csv, "Table to write or to go on with.")->capture_default_str();
  app.add_option("--split", arguments.split, "Split of the dataset.")->capture_default_str();
  app.add_option("--samplers", arguments.samplers, "Samplers.")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--steps", arguments.steps, "Numbers of steps.")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--seeds", arguments.seeds, "Seeds.")->delimiter(',')->capture_default_str();
  app.add_option("--guidance", arguments.guidance, "Guidance scales.")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--cases", arguments.cases, "At most this many cases.")->capture_default_str();
  app.add_option("--batch", arguments.batch, "X-rays denoised together.")->capture_default_str();
  app.add_option("--device", arguments.device, "Device: auto, cpu or cuda.")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    x2ctpa::install_interrupt_handlers();
    x2ctpa::make_table(arguments);
    return 0;
  } catch (const std::exception& e) {
    const auto error = x2ctpa::translate_exception(e, "sampler_table");
    x2ctpa::log_error("{}", error.what());
    return int(error.code());
  }
}
