// x2ctpa preprocess: studies to a dataset folder.
#include "x2ctpa/data/preprocess.h"

#include <CLI/CLI.hpp>

#include "x2ctpa/commands/command.h"
#include "x2ctpa/data/manifest.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class PreprocessCommand : public Command {
 public:
  std::string name() const override { return "preprocess"; }
  std::string help() const override { return "Turn CT and X-ray studies into a dataset folder."; }
  std::vector<std::string> sections() const override { return {"preprocess"}; }

  void add_flags(CLI::App& app) override {
    app.add_option("--input", inputs_,
                   "Manifests (.csv), folders or archives of studies, volumes or X-rays "
                   "[<run>/phantom/manifest.csv].")
        ->type_name("PATH ...");
    app.add_option("--out", out_, "Dataset folder [<run>/dataset].")->type_name("DIR");
    app.add_flag("--force", force_, "Make every case anew, also with other options than before.");
  }

  ExitCode run(CommandContext& context) override {
    const fs::path out = out_.empty() ? context.run / "dataset" : fs::path(out_);
    std::vector<fs::path> inputs(inputs_.begin(), inputs_.end());
    if (inputs.empty()) inputs.push_back(context.run / "phantom" / "manifest.csv");
    const PreprocessResult result = preprocess(read_inputs(inputs, context.experiment.preprocess.input), context.experiment.preprocess,
                                               context.experiment.runtime.seed, out, force_);
    return result.rejected > 0 ? ExitCode::partial : ExitCode::ok;
  }

 private:
  std::vector<std::string> inputs_;
  std::string out_;
  bool force_ = false;
};

}  // namespace

std::unique_ptr<Command> make_preprocess_command() { return std::make_unique<PreprocessCommand>(); }

}  // namespace x2ctpa
