// x2ctpa train-diffusion: the CXR-conditioned denoiser.
#include <CLI/CLI.hpp>

#include "x2ctpa/commands/command.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class TrainDiffusionCommand : public Command {
 public:
  std::string name() const override { return "train-diffusion"; }
  std::string help() const override { return "Train the denoiser that makes latents from chest X-rays."; }
  std::vector<std::string> sections() const override { return {"diffusion"}; }

  void add_flags(CLI::App& app) override {
    app.add_option("--dataset", dataset_, "Dataset folder [<run>/dataset].")->type_name("DIR");
    app.add_option("--vae", vae_, "Autoencoder's model folder [<run>/vae/model].")->type_name("DIR");
    app.add_option("--cxr-encoder", cxr_encoder_,
                   "Model folder of a vision transformer [with denoiser.cxr_encoder frozen or finetuned "
                   "<run>/cxr_encoder/model, else the small encoder is trained along].")
        ->type_name("DIR");
    app.add_flag("--force", force_, "Go on from a checkpoint although the settings changed.");
  }

  ExitCode run(CommandContext& context) override {
    const auto folder = context.run / "diffusion";
    log_to_file(folder / "log.txt");
    write_resolved(context, folder);
    const auto dataset = Dataset::open(dataset_.empty() ? context.run / "dataset" : fs::path(dataset_));
    const auto& options = context.experiment.diffusion;
    fs::path encoder = cxr_encoder_;
    if (encoder.empty() && options.denoiser.cxr_encoder != "trained") encoder = context.run / "cxr_encoder" / "model";
    train_diffusion(dataset, vae_.empty() ? context.run / "vae" / "model" : fs::path(vae_), encoder, options,
                    context.experiment.runtime, folder, force_);
    return ExitCode::ok;
  }

 private:
  std::string dataset_, vae_, cxr_encoder_;
  bool force_ = false;
};

}  // namespace

std::unique_ptr<Command> make_train_diffusion_command() { return std::make_unique<TrainDiffusionCommand>(); }

}  // namespace x2ctpa
