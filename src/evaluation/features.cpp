// FID and its relatives between generated and true volumes.
#include "evaluation/features.h"

#include <fmt/ranges.h>
#include <torch/script.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "evaluation/steps.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/metrics/feature_distances.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vision_transformer.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// Kernel and neighbour measures need every pair of pictures: more than these are drawn from.
constexpr int64_t most_rows = 5000;

at::Tensor first_tensor(const c10::IValue& value) {
  if (value.isTensor()) return value.toTensor();
  if (value.isTuple() && !value.toTupleRef().elements().empty())
    return first_tensor(value.toTupleRef().elements()[0]);
  if (value.isTensorList() && !value.toTensorVector().empty()) return value.toTensorVector()[0];
  throw Error("its output is no tensor");
}

std::function<at::Tensor(const at::Tensor&)> load_folder(const fs::path& folder, bool volumes) {
  if (volumes) {
    auto net = load_model<DenseNet3d>(folder);
    if (net->options().planar) throw Error("it classifies X-rays, not volumes");
    net->eval();
    return [net](const at::Tensor& x) mutable {
      return net->features(x.narrow(1, 0, net->options().channels) * 2 - 1);
    };
  }
  auto net = load_model<VisionTransformer>(folder);
  net->eval();
  return [net](const at::Tensor& x) mutable { return net->embed(x.narrow(1, 0, 1)); };
}

std::function<at::Tensor(const at::Tensor&)> load_script(const fs::path& file) {
  auto module = std::make_shared<torch::jit::Module>(torch::jit::load(file.string()));
  module->eval();
  return [module](const at::Tensor& x) { return first_tensor(module->forward({x})); };
}

// How pictures go into the network.
struct Preparation {
  IntensityWindow window;
  std::vector<double> mean{0.5, 0.5, 0.5}, std{0.5, 0.5, 0.5};  // of the channels of [0, 1]
  int64_t size = 0, every = 1;
  bool own_range = false;  // the volume's own lowest and highest value become 0 and 1
};

at::Tensor unit_volume(const Volume& volume, const Preparation& p) {
  auto x = volume.hu.clamp(p.window.min_hu, p.window.max_hu);
  double low = p.window.min_hu, high = p.window.max_hu;
  if (p.own_range) {
    low = x.min().item<double>();
    high = x.max().item<double>();
  }
  return (x - low) / std::max(high - low, 1e-10);
}

at::Tensor standardised(const at::Tensor& x, const Preparation& p) {
  std::vector<int64_t> shape(size_t(x.dim()), 1);
  shape[1] = 3;
  std::vector<int64_t> repeats(size_t(x.dim()), 1);
  repeats[1] = 3;
  const auto mean = torch::tensor(p.mean, torch::kFloat).view(shape),
             std = torch::tensor(p.std, torch::kFloat).view(shape);
  return (x.repeat(repeats) - mean) / std;
}

// Features of the slices along one axis, (N, F).
at::Tensor slice_features(const FeatureNetwork& network, const Volume& volume, int axis,
                          const Preparation& p) {
  const auto slices = unit_volume(volume, p).movedim(axis, 0);
  std::vector<at::Tensor> rows;
  for (int64_t first = 0; first < slices.size(0); first += 16 * p.every) {
    auto batch = slices.slice(0, first, first + 16 * p.every, p.every).unsqueeze(1);
    if (p.size > 0) {
      batch = at::upsample_bilinear2d(batch.contiguous(), {p.size, p.size}, false);
    }
    rows.push_back(network(standardised(batch, p)));
  }
  return torch::cat(rows);
}

// Up to most_rows of the rows, drawn with the seed.
at::Tensor drawn_rows(const std::vector<at::Tensor>& parts, int64_t seed) {
  const auto rows = torch::cat(parts);
  if (rows.size(0) <= most_rows) return rows;
  const auto order = torch::randperm(rows.size(0), random_stream(seed, "feature rows"),
                                     torch::TensorOptions(torch::kLong));
  return rows.index_select(0, order.narrow(0, 0, most_rows));
}

template <class Visit>
void for_each_pair(const ImageEvaluation& images, const char* title, Visit visit) {
  Progress progress(title, int64_t(images.cases.size()));
  for (const CaseResult& c : images.cases) {
    stop_if_interrupted();
    visit(read_oriented(c.pair.real), read_oriented(c.pair.generated));
    progress.advance();
  }
}

void add_slices(std::vector<FeatureMeasure>& out, const EvaluationInputs& inputs,
                const ImageEvaluation& images, const EvaluateOptions& options, int64_t seed) {
  const FeatureNetwork network(inputs.features, false);
  Preparation p{
      .window = inputs.window, .size = options.feature_size, .every = options.feature_every};
  FeatureMoments real, made;
  std::vector<at::Tensor> real_rows, made_rows;
  for_each_pair(images, "features of slices", [&](const Volume& truth, const Volume& image) {
    real_rows.push_back(slice_features(network, truth, 0, p));
    made_rows.push_back(slice_features(network, image, 0, p));
    real.add(real_rows.back());
    made.add(made_rows.back());
  });
  const auto add = [&](const char* key, const char* label, double value) {
    out.push_back({key, label, "paper/1", value, real.count(), made.count()});
  };
  add("fid", "FID, axial slices", frechet_distance(real, made));
  const auto a = drawn_rows(real_rows, seed), b = drawn_rows(made_rows, seed);
  add("kid", "KID, axial slices", kernel_distance(a, b));
  if (a.size(0) <= 5 || b.size(0) <= 5) return;
  const NeighbourMeasures n = neighbour_measures(a, b);
  add("precision", "Precision, 5 neighbours", n.precision);
  add("recall", "Recall, 5 neighbours", n.recall);
  add("density", "Density, 5 neighbours", n.density);
  add("coverage", "Coverage, 5 neighbours", n.coverage);
}

// As MAISI's script: HU clipped to [-1000, 1000], the volume's own range to [0, 1], the channel
// means of ImageNet in the order blue, green, red subtracted, no resizing.
void add_planes(std::vector<FeatureMeasure>& out, const EvaluationInputs& inputs,
                const ImageEvaluation& images, const EvaluateOptions& options) {
  const FeatureNetwork network(inputs.features, false);
  const Preparation p{.window = {-1000, 1000},
                      .mean = {0.406, 0.456, 0.485},
                      .std = {1, 1, 1},
                      .every = options.feature_every,
                      .own_range = true};
  FeatureMoments real[3], made[3];
  for_each_pair(images, "features of three planes", [&](const Volume& truth, const Volume& image) {
    for (int axis = 0; axis < 3; ++axis) {
      real[axis].add(slice_features(network, truth, axis, p));
      made[axis].add(slice_features(network, image, axis, p));
    }
  });
  double sum = 0;
  for (int axis = 0; axis < 3; ++axis) {
    const double fid = frechet_distance(real[axis], made[axis]);
    sum += fid / 3;
    out.push_back({fmt::format("fid_{}", plane_names[axis]),
                   fmt::format("FID, {} slices", plane_names[axis]), "maisi-2.5d/1", fid,
                   real[axis].count(), made[axis].count()});
  }
  out.push_back({"fid_2_5d", "FID 2.5D, mean of three planes", "maisi-2.5d/1", sum, real[0].count(),
                 made[0].count()});
}

void add_videos(std::vector<FeatureMeasure>& out, const EvaluationInputs& inputs,
                const ImageEvaluation& images) {
  const FeatureNetwork network(inputs.video_features, true);
  const Preparation p{.window = inputs.window, .mean = {0, 0, 0}, .std = {1, 1, 1}};
  FeatureMoments real, made;
  for_each_pair(images, "features of volumes", [&](const Volume& truth, const Volume& image) {
    const auto features = [&](const Volume& v) {
      return network(standardised(unit_volume(v, p).unsqueeze(0).unsqueeze(0), p));
    };
    real.add(features(truth));
    made.add(features(image));
  });
  out.push_back({"fvd", "FVD, whole volumes", "paper/1", frechet_distance(real, made), real.count(),
                 made.count()});
}

}  // namespace

FeatureNetwork::FeatureNetwork(const fs::path& file, bool volumes) : file_(file) {
  try {
    run_ = fs::is_directory(file) ? load_folder(file, volumes) : load_script(file);
  } catch (const c10::Error& e) {
    throw Error(
        fmt::format("{}: expected a TorchScript file (torch.jit.save) or a model folder; "
                    "LibTorch says: {}",
                    file.string(), e.what_without_backtrace()));
  } catch (const Error& e) {
    throw Error(fmt::format("{}: {}", file.string(), e.what()));
  }
}

FeatureNetwork::~FeatureNetwork() = default;

at::Tensor FeatureNetwork::operator()(const at::Tensor& pictures) const {
  at::NoGradGuard no_grad;
  try {
    at::Tensor features = run_(pictures);
    if (features.dim() > 2) features = features.flatten(2).mean(2);
    if (features.dim() != 2 || features.size(0) != pictures.size(0))
      throw Error("expected features (B, F) from the network");
    return features.to(torch::kCPU, torch::kFloat).clone();
  } catch (const std::exception& e) {
    const std::string text = e.what();
    throw Error(fmt::format("{}: the network fails on pictures of shape [{}]: {}", file_.string(),
                            fmt::join(pictures.sizes(), ", "), text.substr(0, text.find('\n'))));
  }
}

std::vector<FeatureMeasure> evaluate_features(const EvaluationInputs& inputs,
                                              const ImageEvaluation& images,
                                              const EvaluateOptions& options, int64_t seed) {
  std::vector<FeatureMeasure> out;
  if (images.cases.size() < 2) return out;
  const auto wanted = [&](const char* protocol) {
    return std::count(options.protocols.begin(), options.protocols.end(), protocol) > 0;
  };
  if (!inputs.features.empty() && wanted("paper")) add_slices(out, inputs, images, options, seed);
  if (!inputs.features.empty() && wanted("maisi-2.5d")) add_planes(out, inputs, images, options);
  if (!inputs.video_features.empty()) add_videos(out, inputs, images);
  return out;
}

}  // namespace x2ctpa
