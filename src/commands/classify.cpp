// x2ctpa classify train: a PE classifier on X-rays, true volumes or generated volumes.
#include <CLI/CLI.hpp>

#include "train_flags.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class ClassifyCommand : public Command {
 public:
  std::string name() const override { return "classify"; }
  std::string help() const override { return "Train a PE classifier on one arm, or score cases with it."; }
  std::vector<std::string> sections() const override { return {"classifier"}; }

  void add_flags(CLI::App& app) override {
    app.add_option("action", action_, "train or predict.")->required()->check(CLI::IsMember({"train", "predict"}));
    app.add_option("--arm", arm_, "What it sees: cxr, ctpa (true volumes) or generated.")
        ->required()->check(CLI::IsMember({"cxr", "ctpa", "generated"}));
    flags_.add(app);
    app.add_option("--samples", samples_, "Folder with samples.csv, for the generated arm [<run>/samples].")->type_name("DIR");
    app.add_option("--model", model_, "predict: classifier folder [<run>/classifier/<arm>/model].")->type_name("DIR");
    app.add_option("--split", split_, "predict: split of the dataset, or all [test].")->type_name("NAME");
    app.add_option("--out", out_, "predict: table to write [<run>/classifier/<arm>/predictions.csv].")->type_name("FILE");
  }

  ExitCode run(CommandContext& context) override {
    const fs::path folder = context.run / "classifier" / arm_;
    if (action_ == "predict") {
      const auto dataset = Dataset::open(flags_.dataset(context));
      return predict(dataset, input_of(dataset, context), context, folder);
    }
    return flags_.run(context, folder, [&](const Dataset& dataset, const TrainCall& call) {
      train_classifier(dataset, arm_, input_of(dataset, context), context.experiment.classifier, context.experiment.runtime, folder, call);
    });
  }

 private:
  ClassifierInput input_of(const Dataset& dataset, const CommandContext& context) const {
    if (arm_ == "ctpa") return [&dataset](const Case& c) { return c.ct.empty() ? at::Tensor() : dataset.load_ct(c); };
    if (arm_ == "cxr") {
      return [&dataset](const Case& c) {
        return c.cxr.empty() ? at::Tensor() : (dataset.load_cxr(c) - dataset.info().cxr_mean) / dataset.info().cxr_std;
      };
    }
    const fs::path samples = samples_.empty() ? context.run / "samples" : fs::path(samples_);
    const auto table = CsvTable::read(samples / "samples.csv");
    table.require_columns({"case_id", "file"});
    std::map<std::string, fs::path> files;
    for (size_t r = 0; r < table.size(); ++r) files.emplace(table.at(r, "case_id"), samples / table.at(r, "file"));
    size_t training = 0;
    for (const auto& c : dataset.split("train")) training += files.count(c.id);
    if (training == 0 && action_ == "train") {
      throw Error(fmt::format("{} has no volume of a training case; run x2ctpa sample --split all first", samples.string()), ExitCode::no_data);
    }
    return [files, window = dataset.info().window](const Case& c) {
      const auto found = files.find(c.id);
      return found == files.end() ? at::Tensor() : window.to_unit(read_volume(found->second).hu).unsqueeze(0);
    };
  }

  ExitCode predict(const Dataset& dataset, const ClassifierInput& input, const CommandContext& context, const fs::path& folder) const {
    const fs::path model_folder = model_.empty() ? folder / "model" : fs::path(model_);
    const auto device = select_device(context.experiment.runtime);
    DenseNet3d model(load_options<DenseNet3dOptions>(model_config_file(model_folder)));
    load_module(model_folder, *model);
    model->to(device);
    model->eval();
    at::NoGradGuard no_grad;
    CsvTable table({"study_id", "patient_id", "label", "score", "split"});
    for (const auto& c : dataset.split(split_)) {
      const at::Tensor x = input(c);
      if (!x.defined()) continue;
      const double score = model->forward(x.unsqueeze(0).to(device)).sigmoid().item<double>();
      table.add({c.id, c.patient_id, c.pe ? std::to_string(*c.pe) : "", fmt::format("{:.9g}", score), c.split});
    }
    if (table.size() == 0) throw Error(fmt::format("no case of split {} has what arm {} needs", split_, arm_), ExitCode::no_data);
    const fs::path out = out_.empty() ? folder / "predictions.csv" : fs::path(out_);
    table.write(out);
    log_info("{} scores in {}", table.size(), out.string());
    return ExitCode::ok;
  }

  TrainFlags flags_;
  std::string action_, arm_, samples_, model_, split_ = "test", out_;
};

}  // namespace

std::unique_ptr<Command> make_classify_command() { return std::make_unique<ClassifyCommand>(); }

}  // namespace x2ctpa
