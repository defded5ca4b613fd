// x2ctpa preprocess: studies to a dataset folder.
#include "x2ctpa/data/preprocess/preprocess.h"

#include <CLI/CLI.hpp>

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "evaluation/report/check_report.h"
#include "x2ctpa/commands/command.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/training/latents.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class PreprocessCommand : public Command {
 public:
  std::string name() const override { return "preprocess"; }
  std::string help() const override { return "Turn CT and X-ray studies into a dataset folder."; }
  std::vector<std::string> sections() const override { return {"preprocess"}; }
  std::vector<std::pair<std::string, std::string>> shortcuts() const override {
    return {{"grid", "preprocess.grid"},
            {"folds", "preprocess.folds"},
            {"splits", "preprocess.splits"}};
  }
  std::vector<std::string> examples() const override {
    return {"x2ctpa preprocess --check --run runs/mine --input studies.csv",
            "x2ctpa preprocess --run runs/mine --input studies.csv"};
  }

  void add_flags(CLI::App& app) override {
    app.add_option("--input", inputs_,
                   "Manifests (.csv), folders or archives of studies, volumes or X-rays "
                   "[<run>/phantom/manifest.csv].")
        ->type_name("PATH ...");
    app.add_option("--out", out_, "Dataset folder [<run>/dataset].")->type_name("DIR");
    app.add_flag("--force", force_, "Make every case anew, also with other options than before.");
    app.add_flag("--resplit", resplit_, "Keep the cases, but deal splits and folds anew.");
    app.add_flag("--check", check_,
                 "Read everything and report what is wrong with it; make no dataset.");
    app.add_option("--check-out", check_out_, "Folder for the report of --check [<run>/check].")
        ->type_name("DIR");
    app.add_flag("--latents", latents_,
                 "Then encode the volumes into <run>/diffusion/latents, as train-diffusion would.");
    app.add_option("--vae", vae_, "Autoencoder's model folder for --latents [<run>/vae/model].")
        ->type_name("DIR");
    const char* share =
        "Take the i-th of n shares of the studies, i/n; without it, RANK and "
        "WORLD_SIZE, or srun's, count.";
    app.add_option("--shard", shard_, share)->type_name("i/n");
  }

  ExitCode run(CommandContext& context) override {
    const fs::path out = out_.empty() ? context.run / "dataset" : fs::path(out_);
    std::vector<fs::path> inputs(inputs_.begin(), inputs_.end());
    if (inputs.empty()) inputs.push_back(context.run / "phantom" / "manifest.csv");
    if (check_) return check_inputs(context, inputs);
    const Shard shard = shard_from(shard_);
    const PreprocessResult result = preprocess(
        read_inputs(inputs, context.experiment.preprocess.input), context.experiment.preprocess,
        context.experiment.runtime.seed, out, {force_, resplit_, shard});
    if (latents_) encode_latents(context, out, shard);
    return result.rejected > 0 ? ExitCode::partial : ExitCode::ok;
  }

 private:
  void encode_latents(const CommandContext& context, const fs::path& out,
                      const Shard& shard) const {
    if (!fs::exists(out / "dataset.json")) {
      log_warning(
          "no latents yet: other shares of the studies are not done; run the command again");
      return;
    }
    const fs::path vae = vae_.empty() ? context.run / "vae" / "model" : fs::path(vae_);
    Latents latents(Dataset::open(out), vae, context.run / "diffusion" / "latents");
    const int64_t made = latents.encode_missing(select_device(context.experiment.runtime),
                                                context.experiment.runtime, shard);
    log_info("{} encoded into {}", counted(made, "latent"), latents.folder().string());
  }

  ExitCode check_inputs(const CommandContext& context, const std::vector<fs::path>& inputs) const {
    const CheckReport report = check_studies(
        read_inputs(inputs, context.experiment.preprocess.input), context.experiment.preprocess);
    const fs::path out = check_out_.empty() ? context.run / "check" : fs::path(check_out_);
    const std::string text = check_text(report), json = check_json(report, inputs.front().string());
    write_file(out / "report.txt", text);
    write_file(out / "report.json", json);
    write_file(out / "report.html", check_page(report, json));
    std::cout << text;
    log_info("report with pictures: {}", (out / "report.html").string());
    if (report.usable() == 0) return ExitCode::no_data;
    return report.count(Severity::error) > 0 ? ExitCode::partial : ExitCode::ok;
  }

  std::vector<std::string> inputs_;
  std::string out_, shard_, check_out_, vae_;
  bool force_ = false, resplit_ = false, check_ = false, latents_ = false;
};

}  // namespace

std::unique_ptr<Command> make_preprocess_command() { return std::make_unique<PreprocessCommand>(); }

}  // namespace x2ctpa
