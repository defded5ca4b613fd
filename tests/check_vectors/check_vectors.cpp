// check_vectors CONVERTED CASES_JSON [DEVICE]: compares our models, converted from published
// checkpoints, with stored outputs of the published implementations, on the CPU or another device.
// README.md describes the folders.
#include <ATen/Context.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "case.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa::check {
namespace {

constexpr double tolerance = 1e-4;

const std::map<std::string, std::function<void(Case&)>> checks{
    {"unet3d", check_unet3d},
    {"vqgan", check_vqgan},
    {"autoencoder_kl", check_autoencoder_kl},
    {"autoencoder_maisi", check_autoencoder_maisi},
    {"biomedclip_vit", check_biomedclip_vit},
    {"clip_vision", check_clip_vision},
    {"dinov2", check_clip_vision},
    {"densenet3d", check_densenet3d},
    {"lpips", check_lpips},
    {"discriminators", check_discriminators},
    {"latent_discriminator", check_latent_discriminator},
    {"samplers", check_samplers},
    {"metrics", check_metrics},
};

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  const auto a = found.detach().to(at::kCPU, at::kDouble);
  const auto b = expected.to(at::kCPU, at::kDouble);
  if (a.sizes() != b.sizes()) {
    throw Error(fmt::format("expected a result of {} values in {} dimensions, found {} in {}",
                            b.numel(), b.dim(), a.numel(), a.dim()));
  }
  return ((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item<double>();
}

// The number of failures of one case; an exception is one.
int run_case(const std::string& name, const nlohmann::json& hyperparameters,
             const std::filesystem::path& vectors, const std::filesystem::path& converted,
             c10::Device device) {
  try {
    const auto kind = hyperparameters.at("kind").get<std::string>();
    const auto check = checks.find(kind);
    if (check == checks.end()) throw Error(fmt::format("the kind \"{}\" is not known", kind));
    const bool network = kind != "samplers" && kind != "metrics";
    Case c(name, hyperparameters, vectors, converted / name, network ? device : at::kCPU);
    check->second(c);
    c.report_rest();
    return c.failures();
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}: {}\n", name, translate_exception(e, "checking " + name).what());
    return 1;
  }
}

int run(const std::filesystem::path& converted, const std::filesystem::path& cases_file,
        c10::Device device) {
  const auto cases = nlohmann::ordered_json::parse(read_file(cases_file));
  int failures = 0;
  for (const auto& [name, hyperparameters] : cases.items()) {
    failures += run_case(name, hyperparameters, cases_file.parent_path(), converted, device);
  }
  if (failures > 0) fmt::print(stderr, "{} failures\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace

Case::Case(std::string name, nlohmann::json hyperparameters, const std::filesystem::path& vectors,
           std::filesystem::path folder, c10::Device device)
    : name_(std::move(name)),
      hyperparameters_(std::move(hyperparameters)),
      folder_(std::move(folder)),
      device_(device),
      tensors_(read_safetensors(vectors / (name_ + ".safetensors"))) {
  for (auto& [tensor, value] : tensors_) value = value.to(device_);
}

const at::Tensor& Case::input(const std::string& tensor) {
  const auto found = tensors_.find(tensor);
  if (found == tensors_.end()) throw Error("there is no stored tensor " + tensor);
  used_.insert(tensor);
  return found->second;
}

void Case::compare(const std::string& output, const at::Tensor& found) {
  if (has(output)) print(output, relative_error(found, input(output)), tolerance);
}

void Case::compare_number(const nlohmann::json& numbers, const std::string& key, double found) {
  if (!numbers.contains(key)) return;
  const double expected = numbers.at(key).get<double>();
  print(key, std::abs(found - expected) / (expected == 0 ? 1 : std::abs(expected)), tolerance);
}

void Case::print(const std::string& output, double error, double tolerance,
                 const std::string& note) {
  fmt::print("{} {} {:.3e}{}\n", name_, output, error, note);
  std::fflush(stdout);
  if (!(error <= tolerance)) ++failures_;
}

void Case::report_rest() const {
  for (const auto& [name, tensor] : tensors_) {
    if (used_.count(name) == 0) fmt::print(stderr, "{} {}: not compared\n", name_, name);
  }
}

}  // namespace x2ctpa::check

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    fmt::print(stderr, "usage: check_vectors CONVERTED CASES_JSON [DEVICE]\n");
    return 1;
  }
  try {
    at::globalContext().setAllowTF32CuDNN(false);  // on by default on a GPU, with errors near 1e-3
    return x2ctpa::check::run(argv[1], argv[2], c10::Device(argc == 4 ? argv[3] : "cpu"));
  } catch (const std::exception& e) {
    fmt::print(stderr, "check_vectors: {}\n", e.what());
    return 1;
  }
}
