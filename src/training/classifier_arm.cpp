#include "training/classifier_arm.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vision_transformer.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

using Load = std::function<at::Tensor(const Case&, int64_t)>;

// Volumes of every case, all samples of it in the order of samples.csv.
std::map<std::string, std::vector<fs::path>> sample_files(const fs::path& samples) {
  const auto table = CsvTable::read(samples / "samples.csv");
  table.require_columns({"case_id", "file"});
  std::map<std::string, std::vector<fs::path>> files;
  for (size_t row = 0; row < table.size(); ++row)
    files[table.at(row, "case_id")].push_back(samples / table.at(row, "file"));
  return files;
}

void need_model(const fs::path& folder, const char* what) {
  if (folder.empty())
    throw Error(
        fmt::format("classify: this arm sees what a model makes: give its folder with {}", what));
  if (!fs::exists(model_config_file(folder)))
    throw Error(fmt::format("classify: {}: expected a model folder, found none at {}", what,
                            folder.string()),
                ExitCode::no_data);
}

// Volumes (1, D, H, W) as latents (C, d, h, w) of the frozen autoencoder.
Load encoded(Load volumes, const fs::path& autoencoder, c10::Device device) {
  need_model(autoencoder, "--vae");
  std::shared_ptr<LatentCodec> codec = load_latent_codec(autoencoder, device);
  return [volumes, codec, device](const Case& c, int64_t index) {
    at::NoGradGuard no_grad;
    return codec->encode(volumes(c, index).unsqueeze(0).to(device)).squeeze(0).cpu();
  };
}

Load embedded(const Dataset& dataset, const fs::path& encoder, c10::Device device) {
  need_model(encoder, "--cxr-encoder");
  auto net = load_model<VisionTransformer>(encoder);
  net->to(device);
  net->eval();
  return [&dataset, net, device](const Case& c, int64_t) mutable {
    at::NoGradGuard no_grad;
    return net->embed(dataset.load_cxr(c).unsqueeze(0).to(device)).squeeze(0).cpu();
  };
}

}  // namespace

namespace {

ClassifierArm xray_arm(PeInput input, const Dataset& dataset, const ArmSources& sources,
                       c10::Device device) {
  ClassifierArm arm{PeArm::cxr, input};
  arm.inputs = [](const Case& c) { return int64_t(!c.cxr.empty()); };
  const DatasetInfo info = dataset.info();
  if (input == PeInput::embedding) {
    arm.load = embedded(dataset, sources.cxr_encoder, device);
  } else {
    arm.load = [&dataset, info](const Case& c, int64_t) {
      return (dataset.load_cxr(c) - info.cxr_mean) / info.cxr_std;
    };
  }
  return arm;
}

ClassifierArm true_arm(PeInput input, const Dataset& dataset, const ArmSources& sources,
                       c10::Device device) {
  ClassifierArm arm{PeArm::ctpa, input};
  arm.inputs = [](const Case& c) { return int64_t(!c.ct.empty()); };
  arm.load = [&dataset](const Case& c, int64_t) { return dataset.load_ct(c); };
  if (input == PeInput::latent) arm.load = encoded(arm.load, sources.autoencoder, device);
  return arm;
}

ClassifierArm generated_arm(PeInput input, const Dataset& dataset, const ArmSources& sources,
                            c10::Device device) {
  ClassifierArm arm{PeArm::generated, input};
  const auto files = sample_files(sources.samples);
  arm.inputs = [files](const Case& c) {
    const auto found = files.find(c.id);
    return found == files.end() ? 0 : int64_t(found->second.size());
  };
  arm.load = [files, window = dataset.info().window](const Case& c, int64_t index) {
    return read_windowed(files.at(c.id).at(size_t(index)), window);
  };
  if (input == PeInput::latent) arm.load = encoded(arm.load, sources.autoencoder, device);
  return arm;
}

// One row of numbers: the X-ray's, then those of one generated volume.
ClassifierArm fused_arm(const ClassifierArm& xray, const ClassifierArm& volume) {
  ClassifierArm arm{PeArm::fused, volume.input};
  arm.inputs = [xray, volume](const Case& c) { return xray.inputs(c) * volume.inputs(c); };
  arm.load = [xray, volume](const Case& c, int64_t index) {
    return at::cat({xray.load(c, 0).flatten(), volume.load(c, index).flatten()});
  };
  arm.parts = {xray, volume};
  return arm;
}

}  // namespace

ClassifierArm classifier_arm(PeArm name, const ArmInputs& inputs, const Dataset& dataset,
                             const ArmSources& sources, const RuntimeOptions& runtime) {
  const c10::Device device = select_device(runtime);
  const auto xray = [&] { return xray_arm(inputs.cxr, dataset, sources, device); };
  const auto generated = [&] { return generated_arm(inputs.volume, dataset, sources, device); };
  const auto model_of = [&](PeArm arm) { return sources.classifiers / word_of(arm) / "model"; };
  const auto taught = [&](ClassifierArm arm) {
    arm.teacher = {true_arm(inputs.volume, dataset, sources, device)};
    return arm;
  };
  const auto teachable = [&](ClassifierArm arm) {
    return inputs.unlabelled == Unlabelled::taught ? taught(std::move(arm)) : arm;
  };
  ClassifierArm arm;
  switch (name) {
    case PeArm::cxr:
      return xray();
    case PeArm::ctpa:
      return true_arm(inputs.volume, dataset, sources, device);
    case PeArm::generated:
      return teachable(generated());
    case PeArm::transfer:
      arm = generated();
      arm.trained = {model_of(PeArm::ctpa)};
      break;
    case PeArm::fused:
      arm = fused_arm(xray(), generated());
      arm.trained = {model_of(PeArm::cxr), model_of(PeArm::generated)};
      break;
    case PeArm::distilled:
      arm = taught(xray());
      break;
  }
  arm.name = name;
  return arm;
}

}  // namespace x2ctpa
