// x2ctpa sample: volumes for a folder of X-rays, a manifest, or a split of a dataset.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/commands/command.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/inference/ctpa_generator.h"
#include "x2ctpa/inference/sample_run.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class SampleCommand : public Command {
 public:
  std::string name() const override { return "sample"; }
  std::string help() const override { return "Make CTPA volumes from chest X-rays."; }
  std::vector<std::string> sections() const override { return {"sample"}; }
  bool short_flags() const override { return true; }
  std::vector<std::pair<std::string, std::string>> shortcuts() const override {
    return {{"steps", "sample.sampler.steps"},
            {"sampler", "sample.sampler.kind"},
            {"guidance-scale", "sample.sampler.guidance_scale"}};
  }
  std::vector<std::string> examples() const override {
    return {"x2ctpa sample runs/demo/diffusion/model xrays volumes",
            "x2ctpa sample --run runs/demo --split all --steps 10"};
  }

  void add_flags(CLI::App& app) override {
    app.add_option("MODEL,--model", model_,
                   "Diffusion model folder, or the run folder with it [<run>/diffusion/model].")
        ->type_name("DIR");
    app.add_option("X-RAYS,--cxr", cxr_,
                   "X-ray file, folder of them (DICOM, PNG, JPEG, TIFF), or manifest (CSV).")
        ->type_name("PATH");
    app.add_option("OUT,--out", out_, "Output folder [<run>/samples].")->type_name("DIR");
    app.add_option("--split", split_, "Without --cxr: this split of the dataset, or all [test].")
        ->type_name("NAME");
    app.add_option("--dataset", dataset_, "Dataset folder [<run>/dataset].")->type_name("DIR");
    app.add_option("--reference", reference_,
                   "With --cxr: CT (volume file or DICOM folder) whose space the volumes take.")
        ->type_name("PATH");
    app.add_option("--classifier", classifier_,
                   "With several samples: PE classifier of volumes, for the spread of its score.")
        ->type_name("DIR");
    app.add_option(
           "--shard", shard_,
           "Make the i-th of n parts, i/n; without it, RANK and WORLD_SIZE, or srun's, count.")
        ->type_name("i/n");
  }

  ExitCode run(CommandContext& context) override {
    SampleJob job;
    if (!classifier_.empty() && !fs::exists(classifier_))
      throw Error(fmt::format("--classifier {}: there is no such model folder", classifier_),
                  ExitCode::no_data);
    job.model = model_folder(context);
    job.out = out_.empty() ? context.run / "samples" : fs::path(out_);
    if (fs::exists(job.out) && !fs::is_directory(job.out)) {
      throw Error(
          fmt::format("sample: expected a folder for the volumes, found the file {}; several "
                      "X-rays are given as their folder or a manifest",
                      job.out.string()));
    }
    job.classifier = classifier_;
    job.shard = shard_from(shard_);
    // X-rays that are not there are told of before a model that is not.
    const CxrViews views =
        fs::exists(job.model) ? CtpaGenerator::views_of(job.model) : CxrViews::frontal;
    job.xrays = xrays(context, views, job.dataset_hash);
    const SampleViews shown = context.experiment.sample.views;
    if (shown != SampleViews::given) {
      if (views == CxrViews::frontal && shown != SampleViews::frontal)
        throw Error(fmt::format("sample.views {}: the model {} takes the frontal view alone", shown,
                                job.model.string()));
      job.xrays = with_views(std::move(job.xrays), find_word<ViewSet>(word_of(shown)).value());
    }
    if (job.shard.count > 1) {
      log_info("part {} of {}: every {}th of {} X-rays", job.shard.index + 1, job.shard.count,
               job.shard.count, job.xrays.size());
    }
    const ExitCode code = run_samples(job, context.experiment.sample, context.experiment.runtime);
    if (job.shard.index == 0) write_resolved(context, job.out);
    return code;
  }

 private:
  fs::path model_folder(const CommandContext& context) const {
    const fs::path given = model_.empty() ? context.run : fs::path(model_);
    const fs::path inside = given / "diffusion" / "model";
    return model_.empty() || (!fs::exists(given / "config.yaml") && fs::exists(inside)) ? inside
                                                                                        : given;
  }

  std::vector<CxrItem> xrays(const CommandContext& context, CxrViews views,
                             std::string& dataset_hash) const {
    if (cxr_.empty()) {
      if (!reference_.empty())
        throw Error("--reference goes with --cxr; the cases of a dataset have their own CTs");
      const Dataset dataset =
          Dataset::open(dataset_.empty() ? context.run / "dataset" : fs::path(dataset_));
      dataset_hash = dataset.info().hash;
      return xrays_of(dataset, split_, views);
    }
    auto found = xrays_in(cxr_, views);
    if (reference_.empty()) return found;
    if (!fs::exists(reference_))
      throw Error(fmt::format("--reference {}: no such file or folder", reference_),
                  ExitCode::no_data);
    for (auto& xray : found) xray.reference = reference_;
    return found;
  }

  std::string model_, cxr_, split_ = "test", dataset_, out_, reference_, classifier_, shard_;
};

}  // namespace

std::unique_ptr<Command> make_sample_command() { return std::make_unique<SampleCommand>(); }

}  // namespace x2ctpa
