// x2ctpa train-vae: the latent autoencoder.
#include <CLI/CLI.hpp>

#include "x2ctpa/commands/command.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

class TrainVaeCommand : public Command {
 public:
  std::string name() const override { return "train-vae"; }
  std::string help() const override { return "Train the 3D VQ-GAN that turns volumes into latents."; }
  std::vector<std::string> sections() const override { return {"vae"}; }

  void add_flags(CLI::App& app) override {
    app.add_option("--dataset", dataset_, "Dataset folder [<run>/dataset].")->type_name("DIR");
    app.add_flag("--force", force_, "Go on from a checkpoint although the settings changed.");
  }

  ExitCode run(CommandContext& context) override {
    if (context.experiment.vae.kind == "kl") {
      throw Error("vae.kind is kl: the published autoencoder is not trained. Convert it with scripts/convert_weights.py into "
                  "<run>/vae/model and go on with train-diffusion; or set vae.kind to vqgan.");
    }
    const auto folder = context.run / "vae";
    log_to_file(folder / "log.txt");
    write_resolved(context, folder);
    const auto dataset = Dataset::open(dataset_.empty() ? context.run / "dataset" : std::filesystem::path(dataset_));
    train_vae(dataset, context.experiment.vae, context.experiment.runtime, folder, force_);
    return ExitCode::ok;
  }

 private:
  std::string dataset_;
  bool force_ = false;
};

}  // namespace

std::unique_ptr<Command> make_train_vae_command() { return std::make_unique<TrainVaeCommand>(); }

}  // namespace x2ctpa
