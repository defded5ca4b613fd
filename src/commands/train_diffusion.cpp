// x2ctpa train-diffusion: the CXR-conditioned denoiser.
#include <CLI/CLI.hpp>

#include "train_flags.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class TrainDiffusionCommand : public Command {
 public:
  std::string name() const override { return "train-diffusion"; }
  std::string help() const override { return "Train the denoiser that makes latents from chest X-rays."; }
  std::vector<std::string> sections() const override { return {"diffusion"}; }

  void add_flags(CLI::App& app) override {
    flags_.add(app);
    app.add_option("--vae", vae_, "Autoencoder's model folder [<run>/vae/model].")->type_name("DIR");
    app.add_option("--cxr-encoder", cxr_encoder_,
                   "Model folder of a vision transformer [with denoiser.cxr_encoder frozen or finetuned "
                   "<run>/cxr_encoder/model, else the small encoder is trained along].")
        ->type_name("DIR");
  }

  ExitCode run(CommandContext& context) override {
    const auto folder = context.run / "diffusion";
    const auto& options = context.experiment.diffusion;
    fs::path encoder = cxr_encoder_;
    if (encoder.empty() && options.denoiser.cxr_encoder != "trained") encoder = context.run / "cxr_encoder" / "model";
    return flags_.run(context, folder, [&](const Dataset& dataset, const TrainCall& call) {
      train_diffusion(dataset, vae_.empty() ? context.run / "vae" / "model" : fs::path(vae_), encoder, options,
                      context.experiment.runtime, folder, call);
    });
  }

 private:
  TrainFlags flags_;
  std::string vae_, cxr_encoder_;
};

}  // namespace

std::unique_ptr<Command> make_train_diffusion_command() { return std::make_unique<TrainDiffusionCommand>(); }

}  // namespace x2ctpa
