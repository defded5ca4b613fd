#include "commands/info/describe_path.h"

#include <fmt/format.h>
#include <torch/cuda.h>
#include <torch/version.h>
#include <yaml-cpp/yaml.h>

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "commands/info/describe_dicom.h"
#include "x2ctpa/core/checksums.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/cuda_library.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/core/version.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/data/studies/archive.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"
#include "x2ctpa/imaging/volume/lungs.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace x2ctpa {
namespace {

ordered_json xyz(const std::array<int64_t, 3>& dhw) { return {dhw[2], dhw[1], dhw[0]}; }

ordered_json describe_dataset(const fs::path& folder) {
  const Dataset dataset = Dataset::open(folder);
  const DatasetInfo& info = dataset.info();
  ordered_json splits;
  for (const char* name : {"train", "val", "test"}) {
    const std::vector<Case> cases = dataset.split(name);
    auto count = [&](auto has) { return std::count_if(cases.begin(), cases.end(), has); };
    splits[name] = {{"cases", cases.size()},
                    {"with_ct", count([](const Case& c) { return !c.ct.empty(); })},
                    {"with_xray", count([](const Case& c) { return !c.cxr.empty(); })},
                    {"pe_positive", count([](const Case& c) { return c.pe == 1; })},
                    {"pe_negative", count([](const Case& c) { return c.pe == 0; })}};
    if (info.views() == CxrViews::both)
      splits[name]["with_lateral_xray"] =
          count([](const Case& c) { return !c.cxr_lateral.empty(); });
  }
  ordered_json json = {{"kind", "dataset"},
                       {"cases", dataset.cases().size()},
                       {"splits", splits},
                       {"size", xyz(info.grid_dhw)},
                       {"typical_spacing_mm", info.typical_spacing_mm},
                       {"window_hu", {info.window.min_hu, info.window.max_hu}},
                       {"xray_size", info.cxr_size},
                       {"xray_mean", info.cxr_mean},
                       {"xray_std", info.cxr_std},
                       {"hash", info.hash}};
  if (info.views() == CxrViews::both) {
    json["lateral_xray_mean"] = info.lateral_mean;
    json["lateral_xray_std"] = info.lateral_std;
  }
  return json;
}

ordered_json describe_volume(const fs::path& file) {
  const VolumeSummary summary = summarise_volume(file);
  ordered_json json = {{"kind", "volume"},
                       {"size", xyz(summary.size_dhw)},
                       {"spacing_mm", summary.spacing_mm},
                       {"origin_mm", summary.origin_mm},
                       {"direction", summary.direction},
                       {"orientation", orientation_letters(summary.direction)},
                       {"hu_min", summary.hu_min},
                       {"hu_max", summary.hu_max},
                       {"hu_mean", summary.hu_mean},
                       {"description", summary.description},
                       {"lung_litres", nullptr},
                       {"problems", summary.doubts.codes},
                       {"notes", summary.doubts.notes}};
  try {
    json["lung_litres"] = segment_lungs(oriented_to_lps(summary.volume)).litres;
  } catch (const Error&) {
    // No lungs in it: stays null.
  }
  return json;
}

ordered_json describe_xray(const fs::path& file) {
  const Radiograph xray = read_radiograph(file);
  ordered_json json = {{"kind", "xray"},
                       {"size", {xray.pixels.size(1), xray.pixels.size(0)}},
                       {"spacing_mm", {xray.spacing_mm[1], xray.spacing_mm[0]}},
                       {"modality", xray.modality},
                       {"photometric", xray.photometric},
                       {"bits", xray.bits},
                       {"inverted", xray.inverted},
                       {"is_chest_xray", xray.is_chest_xray},
                       {"view", xray.view},
                       {"likeness", xray.likeness},
                       {"warnings", xray.warnings}};
  if (!xray.facing.empty()) json["facing"] = xray.facing;
  return json;
}

ordered_json count_tensors(const TensorMap& tensors, const fs::path& file) {
  int64_t parameters = 0;
  for (const auto& [name, tensor] : tensors) parameters += tensor.numel();
  return {{"tensors", tensors.size()}, {"parameters", parameters}, {"bytes", fs::file_size(file)}};
}

ordered_json describe_safetensors(const fs::path& file) {
  const TensorMap tensors = read_safetensors(file);
  ordered_json json = {{"kind", "safetensors"}};
  json.update(count_tensors(tensors, file));
  json["metadata"] = read_safetensors_metadata(file);
  json["list"] = ordered_json::array();
  for (const auto& [name, tensor] : tensors) {
    json["list"].push_back({{"name", name},
                            {"type", c10::toString(tensor.scalar_type())},
                            {"shape", tensor.sizes().vec()}});
  }
  return json;
}

ordered_json yaml_to_json(const YAML::Node& node) {
  ordered_json json;
  if (node.IsMap()) {
    for (const auto& item : node) json[item.first.as<std::string>()] = yaml_to_json(item.second);
  } else if (node.IsSequence()) {
    json = ordered_json::array();
    for (const auto& item : node) json.push_back(yaml_to_json(item));
  } else if (node.IsScalar()) {
    const auto text = node.as<std::string>();
    json = ordered_json::parse(text, nullptr, false);
    if (json.is_discarded()) json = text;
  }
  return json;
}

// The weight files in and below a model folder.
std::vector<fs::path> weight_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// What a model card states in its YAML head; null where there is no card.
ordered_json card_head(const fs::path& card) {
  if (!fs::exists(card)) return {};
  const std::string text = read_file(card);
  const size_t end = text.find("\n---\n", 3);
  if (text.rfind("---\n", 0) != 0 || end == std::string::npos) return {};
  try {
    return yaml_to_json(YAML::Load(text.substr(4, end - 4)));
  } catch (const YAML::Exception& e) {
    throw Error(fmt::format("{}: not valid YAML in its head: {}", card.string(), e.msg));
  }
}

ordered_json describe_model(const fs::path& folder) {
  ordered_json json = {{"kind", "model"}, {"parameters", 0}, {"bytes", 0}};
  const auto verified = verify_checksums(folder);
  json["checksums"] = verified ? fmt::format("{} files are as they were written", *verified)
                               : "unknown: no SHA256SUMS";
  json["card"] = card_head(folder / "README.md");
  int64_t parameters = 0, bytes = 0;
  ordered_json files;
  for (const fs::path& file : weight_files(folder)) {
    const ordered_json counted = count_tensors(read_safetensors(file), file);
    parameters += counted.at("parameters").get<int64_t>();
    bytes += counted.at("bytes").get<int64_t>();
    files[file.lexically_relative(folder).string()] = counted;
  }
  json["parameters"] = parameters;
  json["bytes"] = bytes;
  json["files"] = files;
  try {
    json["options"] = yaml_to_json(YAML::Load(read_file(folder / "config.yaml")));
  } catch (const YAML::Exception& e) {
    throw Error(fmt::format("{}: not valid YAML: {}", (folder / "config.yaml").string(), e.msg));
  }
  return json;
}

ordered_json describe_samples(const fs::path& folder) {
  const CsvTable table = CsvTable::read(folder / "samples.csv");
  std::set<std::string> xrays, models, settings;
  int64_t missing = 0;
  for (size_t row = 0; row < table.size(); ++row) {
    xrays.insert(table.get(row, "case_id"));
    models.insert(table.get(row, "model_hash"));
    settings.insert(table.get(row, "settings"));
    missing += !fs::exists(folder / table.at(row, "file"));
  }
  const fs::path failures = folder / "failures.csv";
  return {{"kind", "samples"},
          {"volumes", table.size()},
          {"missing_volumes", missing},
          {"xrays", xrays.size()},
          {"failed_xrays", fs::exists(failures) ? CsvTable::read(failures).size() : 0},
          {"models", models},
          {"settings", settings}};
}

[[noreturn]] void refuse(const fs::path& path, const std::string& found,
                         ExitCode code = ExitCode::usage) {
  throw Error(
      fmt::format("{}: {}; expected a dataset, model, samples or run folder, a folder or archive "
                  "with DICOM files, a volume ({}), an X-ray ({}), an experiment (.yaml) "
                  "or a .safetensors file",
                  path.string(), found, volume_endings(), xray_endings()),
      code);
}

// A DICOM folder or file; its X-rays are described each.
ordered_json describe_dicom_with_xrays(const fs::path& path,
                                       const std::vector<DicomSeries>& series) {
  constexpr size_t most_xrays = 100;
  ordered_json json = describe_dicom(path, series);
  for (const DicomSeries& one : series) {
    if (!is_xray(one)) continue;
    for (const auto& files : {one.files, one.left_out}) {
      for (const fs::path& file : files) {
        if (json.contains("xrays") && json["xrays"].size() >= most_xrays) break;
        ordered_json xray = {{"path", file.string()}};
        try {
          xray.update(describe_xray(file));
        } catch (const Error& e) {
          xray["unreadable_because"] = e.what();
        }
        json["xrays"].push_back(xray);
      }
    }
  }
  return json;
}

// A DICOM file by itself: an X-ray, or images of another kind; null when it is no DICOM.
ordered_json describe_dicom_file(const fs::path& file) {
  const std::vector<DicomSeries> series = scan_dicom_files({file});
  if (series.empty()) return {};
  return series.size() == 1 && is_xray(series[0]) ? describe_xray(file)
                                                  : describe_dicom(file, series);
}

ordered_json describe_folder(const fs::path& folder) {
  if (fs::exists(folder / "dataset.json")) return describe_dataset(folder);
  if (fs::exists(folder / "preprocess.yaml")) return describe_unfinished_dataset(folder);
  if (fs::exists(folder / "config.yaml") && !weight_files(folder).empty())
    return describe_model(folder);
  if (fs::exists(folder / "samples.csv")) return describe_samples(folder);
  if (const ordered_json parts = describe_run_parts(folder); !parts.empty())
    return {{"kind", "run"}, {"parts", parts}};
  const std::vector<DicomSeries> series = scan_dicom_folder(folder);
  if (series.empty()) refuse(folder, "nothing known in this folder");
  return describe_dicom_with_xrays(folder, series);
}

}  // namespace

ordered_json describe_path(const fs::path& path) {
  if (!fs::exists(path)) refuse(path, "does not exist", ExitCode::no_data);
  ordered_json json;
  if (fs::is_directory(path)) {
    json = describe_folder(path);
  } else if (path.extension() == ".safetensors") {
    json = describe_safetensors(path);
  } else if (path.extension() == ".yaml" || path.extension() == ".yml") {
    json = describe_experiment(path);
  } else if (is_volume_file(path)) {
    json = describe_volume(path);
  } else if (is_archive_file(path)) {
    json = describe_folder(Unpacked(path).folder());
  } else if (const ordered_json dicom = describe_dicom_file(path); !dicom.is_null()) {
    json = dicom;
  } else if (is_radiograph_file(path)) {
    json = describe_xray(path);
  } else {
    refuse(path, "not a file that x2ctpa knows");
  }
  ordered_json named = {{"path", path.string()}};
  named.update(json);
  return named;
}

ordered_json describe_program() {
  const CudaState& cuda = cuda_state();
  ordered_json devices = {"cpu"};
  std::string gpus = "not used: " + cuda.why_not, nccl = "not used: it is for GPUs";
  if (cuda.library != nullptr) {
    for (size_t i = 0; i < size_t(torch::cuda::device_count()); ++i) {
      devices.push_back(fmt::format("cuda:{}", i));
    }
    gpus = fmt::format("loaded: CUDA {}, with a driver for up to {}",
                       cuda_version_text(cuda.library->cuda), cuda_version_text(cuda.driver));
    nccl = "loaded";
  }
  return {{"x2ctpa", version()},
          {"libtorch", TORCH_VERSION},
          {"backends",
           {{"cpu", "loaded: kernels for " + at::get_cpu_capability()},
            {"cuda", gpus},
            {"gloo", "loaded"},
            {"nccl", nccl}}},
          {"devices", devices},
          {"cores", available_cores()},
          {"threads", at::get_num_threads()}};
}

}  // namespace x2ctpa
