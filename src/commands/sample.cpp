// x2ctpa sample: volumes for a folder of X-rays or for a split of a dataset.
#include <CLI/CLI.hpp>

#include <chrono>
#include <set>

#include "x2ctpa/commands/command.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/radiograph.h"
#include "x2ctpa/imaging/resample.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/inference/ctpa_generator.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

/// One X-ray to turn into a volume.
struct Item {
  std::string name, case_id, patient_id, split;
  fs::path cxr;
  const Case* dataset_case = nullptr;
};

const std::vector<std::string> kColumns = {"name", "case_id", "patient_id", "split", "cxr", "file", "seed",
                                           "steps", "sampler", "guidance_scale", "seconds", "model_hash"};

/// X-rays below `root`. Outputs are named by path, so that equal file names in two folders stay
/// apart; the case, and with it the noise, by the file alone, so that an X-ray gives the same volume
/// from its own path and from any folder above it.
std::vector<Item> items_in(const fs::path& root) {
  std::vector<fs::path> files;
  if (fs::is_regular_file(root)) files.push_back(root);
  else if (fs::is_directory(root)) {
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.is_regular_file() && is_radiograph_file(entry.path())) files.push_back(entry.path());
    }
  } else {
    throw Error(fmt::format("--cxr {}: no such file or folder", root.string()), ExitCode::no_data);
  }
  std::sort(files.begin(), files.end());
  std::vector<Item> items;
  std::set<std::string> taken;
  for (const auto& file : files) {
    const fs::path relative = file == root ? file.filename() : fs::relative(file, root);
    std::string name = safe_id((relative.parent_path() / relative.stem()).string());
    for (int n = 2; !taken.insert(name).second; ++n) name = fmt::format("{}_{}", safe_id((relative.parent_path() / relative.stem()).string()), n);
    const std::string id = safe_id(file.stem().string());
    items.push_back({name, id, id, "", file});
  }
  return items;
}

class SampleCommand : public Command {
 public:
  std::string name() const override { return "sample"; }
  std::string help() const override { return "Make CTPA volumes from chest X-rays."; }
  std::vector<std::string> sections() const override { return {"sample"}; }

  void add_flags(CLI::App& app) override {
    app.add_option("--model", model_, "Diffusion model folder [<run>/diffusion/model].")->type_name("DIR");
    app.add_option("--cxr", cxr_, "X-ray file, or folder of them (DICOM, PNG, JPEG, TIFF).")->type_name("PATH");
    app.add_option("--split", split_, "Without --cxr: this split of the dataset, or all [test].")->type_name("NAME");
    app.add_option("--dataset", dataset_, "Dataset folder [<run>/dataset].")->type_name("DIR");
    app.add_option("--out", out_, "Output folder [<run>/samples].")->type_name("DIR");
  }

  ExitCode run(CommandContext& context) override {
    const fs::path out = out_.empty() ? context.run / "samples" : fs::path(out_);
    const auto& runtime = context.experiment.runtime;
    std::optional<Dataset> dataset;
    std::vector<Case> cases;
    std::vector<Item> items;
    if (cxr_.empty()) {
      dataset = Dataset::open(dataset_.empty() ? context.run / "dataset" : fs::path(dataset_));
      cases = dataset->split(split_);
      for (const auto& c : cases) {
        if (!c.cxr.empty()) items.push_back({c.id, c.id, c.patient_id, c.split, dataset->folder() / c.cxr, &c});
      }
    } else {
      items = items_in(cxr_);
    }
    if (items.empty()) throw Error(fmt::format("no X-ray found in {}", cxr_.empty() ? "split " + split_ : cxr_), ExitCode::no_data);
    CsvTable done(kColumns);
    std::vector<Item> todo = keep_undone(items, out, done);
    if (todo.empty()) {
      log_info("nothing to do: all {} volumes are in {} already", items.size(), out.string());
      return ExitCode::ok;
    }
    CtpaGenerator generator(model_.empty() ? context.run / "diffusion" / "model" : fs::path(model_), runtime);
    write_resolved(context, out);
    return generate_all(generator, dataset, todo, context.experiment.sample, runtime.seed, out, done);
  }

 private:
  /// The items without a finished volume; `done` gets the rows of the others.
  static std::vector<Item> keep_undone(const std::vector<Item>& items, const fs::path& out, CsvTable& done) {
    std::set<std::string> finished;
    if (fs::exists(out / "samples.csv")) {
      const auto before = CsvTable::read(out / "samples.csv");
      before.require_columns(kColumns);
      for (size_t r = 0; r < before.size(); ++r) {
        if (!fs::exists(out / before.at(r, "file"))) continue;
        std::vector<std::string> row;
        for (const auto& column : kColumns) row.push_back(before.at(r, column));
        done.add(row);
        finished.insert(before.at(r, "name"));
      }
    }
    std::vector<Item> todo;
    for (const auto& item : items) {
      if (!finished.count(item.name)) todo.push_back(item);
    }
    return todo;
  }

  static at::Tensor load_cxr(const Item& item, const std::optional<Dataset>& dataset, const DatasetInfo& info) {
    if (item.dataset_case != nullptr) return dataset->load_cxr(*item.dataset_case);
    // A model of any pictures was trained on them as they are, whatever they show.
    const bool any_picture = info.source == "picture";
    const Radiograph radiograph = read_radiograph(item.cxr, any_picture ? "never" : "auto");
    if (!any_picture) {
      for (const auto& warning : radiograph.warnings) log_warning("{}: {}", item.cxr.string(), warning);
    }
    return square_radiograph(radiograph.pixels, info.cxr_size).unsqueeze(0);
  }

  /// The place of the volume: the true CT's where there is one, else the training set's typical
  /// field of view around the origin.
  static Volume placed(const Item& item, const std::optional<Dataset>& dataset, const DatasetInfo& info, const at::Tensor& hu) {
    Volume volume;
    if (item.dataset_case != nullptr && !item.dataset_case->ct.empty()) {
      volume = dataset->load_volume(*item.dataset_case);
    } else {
      Vec3 extent{};
      for (size_t a = 0; a < 3; ++a) extent[a] = info.typical_spacing_mm[a] * double(info.grid_dhw[2 - a]);
      const Grid grid = centred_grid(info.grid_dhw, {0, 0, 0}, extent);
      volume.origin_mm = grid.origin_mm;
      volume.spacing_mm = grid.spacing_mm;
      volume.direction = grid.direction;
    }
    volume.hu = hu.contiguous();
    return volume;
  }

  ExitCode generate_all(CtpaGenerator& generator, const std::optional<Dataset>& dataset, const std::vector<Item>& todo,
                        const SampleOptions& options, int64_t seed, const fs::path& out, CsvTable& done) {
    CsvTable failures({"name", "cxr", "reason"});
    Progress progress("sample", int64_t(todo.size()));
    for (size_t first = 0; first < todo.size(); first += size_t(options.batch_size)) {
      stop_if_interrupted();
      const auto start = std::chrono::steady_clock::now();
      std::vector<Item> batch;
      std::vector<SampleRequest> requests;
      for (size_t i = first; i < std::min(todo.size(), first + size_t(options.batch_size)); ++i) {
        try {
          requests.push_back({todo[i].case_id, load_cxr(todo[i], dataset, generator.info())});
          batch.push_back(todo[i]);
        } catch (const Error& e) {
          failures.add({todo[i].name, todo[i].cxr.string(), e.what()});
          log_warning("{} is left out: {}", todo[i].name, e.what());
        }
      }
      if (batch.empty()) continue;
      const auto volumes = generator.generate(requests, options.sampler, seed);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / double(batch.size());
      for (size_t i = 0; i < batch.size(); ++i) {
        const std::string file = batch[i].name + ".nii.gz";
        write_nifti(placed(batch[i], dataset, generator.info(), volumes[int64_t(i)]), out / file,
                    "SYNTHETIC CTPA by x2ctpa, research use only");
        done.add({batch[i].name, batch[i].case_id, batch[i].patient_id, batch[i].split, batch[i].cxr.string(), file,
                  std::to_string(seed), std::to_string(options.sampler.steps), options.sampler.kind,
                  fmt::format("{}", options.sampler.guidance_scale), fmt::format("{:.3f}", seconds), generator.model_hash()});
      }
      done.write(out / "samples.csv");
      progress.advance(int64_t(batch.size()));
    }
    progress.finish();
    if (failures.size() > 0) failures.write(out / "failures.csv");
    log_info("{} volumes in {}{}", done.size(), out.string(),
             failures.size() > 0 ? fmt::format("; {} failed, see failures.csv", failures.size()) : "");
    if (failures.size() == todo.size()) return ExitCode::no_data;
    return failures.size() > 0 ? ExitCode::partial : ExitCode::ok;
  }

  std::string model_, cxr_, split_ = "test", dataset_, out_;
};

}  // namespace

std::unique_ptr<Command> make_sample_command() { return std::make_unique<SampleCommand>(); }

}  // namespace x2ctpa
