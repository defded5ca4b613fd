// x2ctpa train-diffusion: the CXR-conditioned denoiser.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "commands/train_flags.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// Where the experiment names a kind, the run's own autoencoder must be of it. One that --vae names
// is taken as it is.
void check_kind(const CommandContext& context, const fs::path& autoencoder) {
  if (!fs::exists(model_config_file(autoencoder))) return;
  const auto wanted = context.experiment.vae.kind, found = autoencoder_kind(autoencoder);
  if (wanted == found) return;
  for (const Option& option : context.options.all()) {
    if (option.key != "vae.kind" || option.source == "default") continue;
    throw Error(fmt::format(
        "{}: expected an autoencoder of vae.kind {} in {}, found one of kind {}. Make one there "
        "({}), set vae.kind {}, or say --vae {} to take this one.",
        option.source, wanted, autoencoder.string(), found,
        wanted == AutoencoderKind::vqgan || wanted == AutoencoderKind::conv
            ? "x2ctpa train-vae"
            : "scripts/convert_weights.py",
        found, autoencoder.string()));
  }
}

class TrainDiffusionCommand : public Command {
 public:
  std::string name() const override { return "train-diffusion"; }
  std::string help() const override {
    return "Train the denoiser that makes latents from chest X-rays.";
  }
  std::vector<std::string> sections() const override { return {"diffusion"}; }
  std::vector<std::pair<std::string, std::string>> shortcuts() const override {
    return TrainFlags::shortcuts("diffusion.train");
  }
  std::vector<std::string> examples() const override {
    return {"x2ctpa train-diffusion --run runs/mine",
            "x2ctpa train-diffusion --config recommended --run runs/mine --max-hours 8"};
  }

  void add_flags(CLI::App& app) override {
    flags_.add(app);
    app.add_option("--vae", vae_, "Autoencoder's model folder [<run>/vae/model].")
        ->type_name("DIR");
    app.add_option(
           "--cxr-encoder", cxr_encoder_,
           "Model folder of a vision transformer [with denoiser.cxr_encoder frozen or finetuned "
           "<run>/cxr_encoder/model, else the small encoder is trained along].")
        ->type_name("DIR");
    app.add_option("--init", init_,
                   "Diffusion model folder to go on from; it decides the denoiser, the process and "
                   "the scale of the latents.")
        ->type_name("DIR");
    app.add_option(
           "--lpips", lpips_,
           "Model folder of LPIPS, for the perceptual loss [<run>/lpips/model where there is one].")
        ->type_name("DIR");
    app.add_option("--classifier", classifier_,
                   "Model folder of a PE classifier of latents, for the classification loss "
                   "[<run>/classifier/latents/model where "
                   "there is one].")
        ->type_name("DIR");
  }

  ExitCode run(CommandContext& context) override {
    const auto folder = context.run / "diffusion";
    const auto& options = context.experiment.diffusion;
    DiffusionInputs inputs;
    inputs.init = init_;
    inputs.autoencoder = vae_;
    inputs.cxr_encoder = cxr_encoder_;
    if (init_.empty() && vae_.empty()) inputs.autoencoder = context.run / "vae" / "model";
    if (init_.empty() && cxr_encoder_.empty() &&
        options.denoiser.cxr_encoder != CxrEncoding::trained) {
      inputs.cxr_encoder = context.run / "cxr_encoder" / "model";
    }
    inputs.lpips = optional_model(lpips_, context.run / "lpips" / "model");
    inputs.classifier =
        optional_model(classifier_, context.run / "classifier" / "latents" / "model");
    return flags_.run(context, folder, [&](const Dataset& dataset, const TrainCall& call) {
      if (init_.empty() && vae_.empty()) check_kind(context, inputs.autoencoder);
      train_diffusion(dataset, inputs, options, context.experiment.runtime, folder, call);
    });
  }

 private:
  TrainFlags flags_;
  std::string vae_, cxr_encoder_, init_, lpips_, classifier_;
};

}  // namespace

std::unique_ptr<Command> make_train_diffusion_command() {
  return std::make_unique<TrainDiffusionCommand>();
}

}  // namespace x2ctpa
