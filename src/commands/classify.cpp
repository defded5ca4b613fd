// x2ctpa classify: a PE classifier on X-rays, true volumes or generated volumes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands/train_flags.h"
#include "training/classifier_arm.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/core/words.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class ClassifyCommand : public Command {
 public:
  std::string name() const override { return "classify"; }
  std::string help() const override {
    return "Train a PE classifier on one arm, or score cases with it.";
  }
  std::vector<std::string> sections() const override { return {"classifier"}; }
  std::vector<std::pair<std::string, std::string>> shortcuts() const override {
    return TrainFlags::shortcuts("classifier.train");
  }
  std::vector<std::string> examples() const override {
    return {"x2ctpa classify train --run runs/mine --arm cxr",
            "x2ctpa classify predict --run runs/mine --arm cxr --split test"};
  }

  void add_flags(CLI::App& app) override {
    app.add_option("action", action_, "What to do: train or predict.")
        ->required()
        ->transform(CLI::IsMember({"train", "predict"}, CLI::ignore_case));
    app.add_option(
           "--arm", arm_,
           "What it sees: cxr, ctpa (true volumes), generated, transfer (generated volumes "
           "by the classifier of arm ctpa), fused (X-ray and generated volume) or distilled "
           "(an X-ray, trained towards what true volumes tell).")
        ->required()
        ->transform(CLI::IsMember(all_words<PeArm>(), CLI::ignore_case));
    flags_.add(app);
    app.add_option("--samples", samples_,
                   "Folder with samples.csv, for arms of generated volumes [<run>/samples].")
        ->type_name("DIR");
    app.add_option(
           "--vae", vae_,
           "Autoencoder whose latents are seen, with classifier.input latent [<run>/vae/model].")
        ->type_name("DIR");
    app.add_option("--cxr-encoder", cxr_encoder_,
                   "Vision transformer whose embedding is seen, with classifier.cxr embedding.")
        ->type_name("DIR");
    app.add_option("--fold", fold_, "train: this fold alone; a call without it gathers the folds.")
        ->type_name("K");
    app.add_option("--model", model_, "predict: classifier folder [<run>/classifier/<arm>/model].")
        ->type_name("DIR");
    app.add_option("--split", split_,
                   "predict: split of the dataset; all: validation and test [all].")
        ->type_name("NAME");
    app.add_option("--out", out_, "predict: table to write [<run>/classifier/<arm>/scores.csv].")
        ->type_name("FILE");
  }

  ExitCode run(CommandContext& context) override {
    const fs::path folder = context.run / "classifier" / arm_;
    if (action_ == "predict") return predict(context, folder);
    const ClassifierOptions& options = context.experiment.classifier;
    return flags_.run(context, folder, [&](const Dataset& dataset, const TrainCall& call) {
      const auto arm =
          arm_of(dataset, {options.cxr, volume_input(context), options.unlabelled}, context);
      if (pe_arm() == PeArm::generated || pe_arm() == PeArm::fused)
        check_samples(dataset, arm, context);
      train_classifier(dataset, arm, options, context.experiment.runtime, folder, call, fold_);
    });
  }

 private:
  PeArm pe_arm() const { return find_word<PeArm>(arm_).value(); }

  fs::path samples(const CommandContext& context) const {
    return samples_.empty() ? context.run / "samples" : fs::path(samples_);
  }

  // What is seen of volumes: for arm transfer, as the classifier of arm ctpa was trained.
  PeInput volume_input(const CommandContext& context) const {
    const fs::path info = context.run / "classifier" / "ctpa" / "model" / "classifier.yaml";
    return pe_arm() == PeArm::transfer && fs::exists(info)
               ? load_options<PeClassifierInfo>(info).input
               : context.experiment.classifier.input;
  }

  ClassifierArm arm_of(const Dataset& dataset, const ArmInputs& inputs,
                       const CommandContext& context) const {
    const fs::path vae = vae_.empty() ? context.run / "vae" / "model" : fs::path(vae_);
    return classifier_arm(pe_arm(), inputs, dataset,
                          {samples(context), vae, cxr_encoder_, context.run / "classifier"},
                          context.experiment.runtime);
  }

  void check_samples(const Dataset& dataset, const ClassifierArm& arm,
                     const CommandContext& context) const {
    const auto cases = dataset.split("train");
    if (std::any_of(cases.begin(), cases.end(), [&](const Case& c) { return arm.inputs(c) > 0; }))
      return;
    throw Error(
        fmt::format("{} has no volume of a training case; run x2ctpa sample --split all first",
                    samples(context).string()),
        ExitCode::no_data);
  }

  ExitCode predict(const CommandContext& context, const fs::path& folder) const {
    const auto dataset = Dataset::open(flags_.dataset(context));
    PeClassifier classifier(model_.empty() ? folder / "model" : fs::path(model_),
                            select_device(context.experiment.runtime));
    const PeClassifierInfo& info = classifier.info();
    const bool xray = pe_arm() == PeArm::cxr || pe_arm() == PeArm::distilled;
    const auto arm = arm_of(
        dataset, xray ? ArmInputs{info.input, PeInput::volume} : ArmInputs{info.cxr, info.input},
        context);
    const CsvTable table = classifier_scores(classifier, dataset, arm, split_);
    if (table.size() == 0)
      throw Error(fmt::format("no case of split {} has what arm {} needs", split_, arm_),
                  ExitCode::no_data);
    const fs::path out = out_.empty() ? folder / "scores.csv" : fs::path(out_);
    table.write(out);
    log_info("{} in {}", counted(int64_t(table.size()), "score"), out.string());
    return ExitCode::ok;
  }

  TrainFlags flags_;
  std::string action_, arm_, samples_, vae_, cxr_encoder_, model_, split_ = "all", out_;
  std::optional<int64_t> fold_;
};

}  // namespace

std::unique_ptr<Command> make_classify_command() { return std::make_unique<ClassifyCommand>(); }

}  // namespace x2ctpa
