// x2ctpa train-vae: the latent autoencoder.
#include <CLI/CLI.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "commands/train_flags.h"

namespace x2ctpa {
namespace {

class TrainVaeCommand : public Command {
 public:
  std::string name() const override { return "train-vae"; }
  std::string help() const override {
    return "Train the 3D autoencoder that turns volumes into latents.";
  }
  std::vector<std::string> sections() const override { return {"vae"}; }
  std::vector<std::pair<std::string, std::string>> shortcuts() const override {
    return TrainFlags::shortcuts("vae.train");
  }
  std::vector<std::string> examples() const override {
    return {"x2ctpa train-vae --run runs/mine",
            "x2ctpa train-vae --run runs/mine --steps 20000 --dry-run"};
  }

  void add_flags(CLI::App& app) override {
    flags_.add(app);
    app.add_option(
           "--lpips", lpips_,
           "Model folder of LPIPS, for the perceptual loss [<run>/lpips/model where there is one].")
        ->type_name("DIR");
  }

  void check(const Experiment& experiment) const override { check_trainable(experiment.vae); }

  ExitCode run(CommandContext& context) override {
    const auto folder = context.run / "vae";
    const auto lpips = optional_model(lpips_, context.run / "lpips" / "model");
    return flags_.run(context, folder, [&](const Dataset& dataset, const TrainCall& call) {
      train_vae(dataset, lpips, context.experiment.vae, context.experiment.runtime, folder, call);
    });
  }

 private:
  TrainFlags flags_;
  std::string lpips_;
};

}  // namespace

std::unique_ptr<Command> make_train_vae_command() { return std::make_unique<TrainVaeCommand>(); }

}  // namespace x2ctpa
