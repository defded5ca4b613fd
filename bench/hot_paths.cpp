// Google Benchmark programs of the hot paths, on random inputs. Each at two sizes or more: the
// growth shows without a second program.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <torch/utils.h>

#include <array>
#include <string>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/imaging/drr/drr.h"
#include "x2ctpa/imaging/volume/resample.h"
#include "x2ctpa/metrics/classification.h"
#include "x2ctpa/metrics/image_quality.h"
#include "x2ctpa/models/unet3d.h"

namespace x2ctpa::bench {
namespace {

using benchmark::State;

void unet3d(State& state, at::ScalarType type) {
  torch::NoGradGuard no_grad;
  Unet3d model;
  model->to(type);
  const auto x = at::randn({1, 4, state.range(0), 32, 32}).to(type);
  const auto t = at::tensor({500}, at::kLong), cond = at::randn({1, 512});
  for (auto _ : state) benchmark::DoNotOptimize(model->forward(x, t, cond));
}

Volume random_volume(const std::array<int64_t, 3>& size) {
  Volume volume{at::randn({size[0], size[1], size[2]}) * 300};
  volume.spacing_mm = {0.7, 0.7, 2.5};
  return volume;
}

void zoom(State& state) {
  const Volume volume = random_volume({state.range(0), 2 * state.range(0), 2 * state.range(0)});
  for (auto _ : state) benchmark::DoNotOptimize(zoom_as_published(volume, {128, 256, 256}));
}

void drr_of(State& state, DrrMethod method) {
  Volume volume = random_volume({133, 180, 180});
  volume.spacing_mm = {2, 2, 2.5};
  DrrOptions options;
  options.size = state.range(0);
  options.method = method;
  for (auto _ : state) benchmark::DoNotOptimize(render_drr(volume, options));
}

void metrics(State& state) {
  const auto truth = at::randn({state.range(0), 256, 256}) * 100;
  const auto image = truth + at::randn_like(truth);
  for (auto _ : state) benchmark::DoNotOptimize(image_quality(truth, image, 700));
}

// 2000 resamples of the AUC and the ROC curve, one case per patient.
void bootstrap(State& state) {
  torch::manual_seed(1);
  std::vector<int> labels;
  std::vector<double> scores;
  std::vector<std::string> patients;
  for (int64_t i = 0; i < state.range(0); ++i) {
    labels.push_back(i % 3 == 0);
    scores.push_back(at::randn({}).item<double>() + labels.back());
    patients.push_back(std::to_string(i));
  }
  for (auto _ : state) benchmark::DoNotOptimize(bootstrap_auc(labels, scores, patients, 2000, 1));
}

BENCHMARK_CAPTURE(unet3d, fp32, at::kFloat)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(unet3d, bf16, at::kBFloat16)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);
BENCHMARK(zoom)->Arg(64)->Arg(128)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(drr_of, siddon, DrrMethod::siddon)
    ->Arg(256)
    ->Arg(512)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(drr_of, trilinear, DrrMethod::trilinear)
    ->Arg(256)
    ->Arg(512)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(bootstrap)->Arg(100)->Arg(1000)->Unit(benchmark::kMillisecond);
BENCHMARK(metrics)->Arg(32)->Arg(128)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace x2ctpa::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  x2ctpa::configure_runtime({});
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
