#include <cmath>
#include <optional>

#include "training/codebook_usage.h"
#include "training/loss_networks.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/data/volume_picture.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/training/losses.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {
namespace {

// PSNR in dB of volumes in [-1, 1], data range 2.
double psnr_db(const at::Tensor& a, const at::Tensor& b) {
  return 10 * std::log10(4.0 / (a - b).square().mean().item<double>());
}

// What the VQ-GAN learns: the losses of a batch of volumes.
class VqganTask {
 public:
  VqganTask(const VaeOptions& options, Lpips lpips, const RuntimeOptions& runtime,
            int64_t batches_per_epoch, const Processes& processes)
      : options_(options.loss),
        lpips_(std::move(lpips)),
        seed_(runtime.seed),
        batches_per_epoch_(batches_per_epoch),
        batches_per_step_(options.train.accumulate * processes.count()),
        processes_(processes),
        device_(select_device(runtime)) {
    // Initial weights come from the global generator: seed it by name.
    torch::manual_seed(stream_seed(seed_, "vae/weights"));
    vqgan_ = trained_->register_module("vqgan", Vqgan3d(options.model));
    usage_ = trained_->register_module("usage", CodebookUsage(options.model.codes));
    trained_->to(device_);
    // They are large: a training that ends before they begin has none.
    if (!options_.gan() || options_.gan_start_step >= options.train.steps) return;
    torch::manual_seed(stream_seed(seed_, "vae/discriminators"));
    discriminators_ = DiscriminatorPair(DiscriminatorPairOptions{
        options.model.channels, options_.discriminator_channels, options_.discriminator_layers});
    discriminators_->to(device_);
  }

  // Batch `number` of the run.
  StepLoss loss(const Batch& batch, int64_t number) {
    const auto x = batch.ct.to(device_, /*non_blocking=*/true);
    const auto out = vqgan_->forward(x, random_stream(seed_, fmt::format("vae/step/{}", number)));
    const auto place =
        at::rand({x.size(0)}, random_stream(seed_, fmt::format("vae/slice/{}", number)),
                 at::TensorOptions(at::kFloat));
    std::vector<LossTerm> terms{{"l1", options_.l1_weight, (out.reconstruction - x).abs().mean()},
                                {"commitment", 1, out.codes.commitment_loss}};
    if (lpips_)
      terms.push_back({"perceptual", options_.perceptual_weight,
                       slice_distance(lpips_, x, out.reconstruction, place)});
    last_.reset();
    if (discriminators_ && number / batches_per_step_ >= options_.gan_start_step) {
      const auto gan =
          adversarial_losses(discriminators_, options_.gan_loss, x, out.reconstruction, place);
      terms.push_back({"gan_slices", options_.slice_gan_weight, gan.slices});
      terms.push_back({"gan_volumes", options_.volume_gan_weight, gan.volumes});
      terms.push_back({"features", options_.feature_weight, gan.features});
      last_ = Seen{x, out.reconstruction.detach(), place};
    }
    StepLoss loss(weighted_sum(terms));
    for (const auto& term : terms) loss.terms.emplace_back(term.name, term.value.detach());
    loss.terms.emplace_back("perplexity", out.codes.perplexity);
    for (const auto& c : batch.cases) loss.cases.push_back(c.id);
    loss.inputs = {x};
    count_codes(out, number, loss);
    return loss;
  }

  // The discriminators' loss of the same batch.
  StepLoss discriminator_loss() {
    if (!last_) return {};
    auto terms = discriminator_losses(discriminators_, options_.gan_loss, last_->x, last_->x_hat,
                                      last_->place);
    terms[0].weight = options_.slice_gan_weight;
    terms[1].weight = options_.volume_gan_weight;
    StepLoss loss(weighted_sum(terms));
    for (const auto& term : terms) loss.terms.emplace_back(term.name, term.value.detach());
    return loss;
  }

  at::Tensor reconstruction(const at::Tensor& x) {
    return vqgan_->forward(x.unsqueeze(0).to(device_)).reconstruction.squeeze(0);
  }

  torch::nn::Module& trained() { return *trained_; }
  Vqgan3d vqgan() const { return vqgan_; }
  DiscriminatorPair discriminators() const { return discriminators_; }
  c10::Device device() const { return device_; }

 private:
  // Use of the codebook over each epoch; with too little of it, unused codes are drawn anew.
  void count_codes(const Vqgan3dOutput& out, int64_t number, StepLoss& loss) {
    usage_->add(out.codes.indices, [&](at::Tensor& counts) {
      if (!processes_.alone()) processes_.sum(counts);
    });
    if ((number / processes_.count() + 1) % batches_per_epoch_ == 0) {
      usage_->end_epoch();
      const double codes = double(vqgan_->options().codes), perplexity = usage_->last_perplexity();
      if (perplexity < options_.collapse_perplexity * codes) {
        log_warning(
            "train-vae: the codebook has collapsed: a perplexity of {:.1f} over the epoch, {:.2f}% "
            "of {} codes used. The "
            "unused ones are drawn anew. If it comes again, lower the learning rate or take fewer "
            "codes.",
            perplexity, 100 * usage_->last_use(), codes);
        vqgan_->codebook()->restart(out.z, usage_->unused(),
                                    random_stream(seed_, fmt::format("vae/restart/{}", number)));
      }
    }
    if (std::isnan(usage_->last_use())) return;
    loss.terms.emplace_back("epoch_code_use", at::tensor(usage_->last_use()));
    loss.terms.emplace_back("epoch_perplexity", at::tensor(usage_->last_perplexity()));
  }

  struct Seen {
    at::Tensor x, x_hat, place;
  };

  VqganLossOptions options_;
  Lpips lpips_;
  int64_t seed_, batches_per_epoch_, batches_per_step_;
  const Processes& processes_;
  c10::Device device_;
  std::shared_ptr<torch::nn::Module> trained_ = std::make_shared<torch::nn::Module>("trained");
  Vqgan3d vqgan_{nullptr};
  CodebookUsage usage_{nullptr};
  DiscriminatorPair discriminators_{nullptr};
  std::optional<Seen> last_;  // for the discriminators
};

std::vector<Case> with_volume(const std::vector<Case>& cases) {
  std::vector<Case> out;
  for (const auto& c : cases) {
    if (!c.ct.empty()) out.push_back(c);
  }
  return out;
}

// PSNR of every test case in `folder`/reconstruction.csv.
void write_reconstruction(const Dataset& dataset, VqganTask& task,
                          const std::filesystem::path& folder) {
  at::NoGradGuard no_grad;
  CsvTable table({"case_id", "psnr_db"});
  double sum = 0;
  for (const auto& c : with_volume(dataset.split("test"))) {
    const auto x = dataset.load_ct(c);
    const double psnr = psnr_db(task.reconstruction(x).to(at::kCPU), x);
    sum += psnr;
    table.add({c.id, fmt::format("{:.4f}", psnr)});
  }
  table.write(folder / "reconstruction.csv");
  if (table.size() == 0) return;
  log_info("train-vae: reconstruction of {} test cases: mean PSNR {:.2f} dB (data range {} HU)",
           table.size(), sum / double(table.size()),
           dataset.info().window.max_hu - dataset.info().window.min_hu);
}

}  // namespace

void train_vae(const Dataset& dataset, const std::filesystem::path& lpips,
               const VaeOptions& options, const RuntimeOptions& runtime,
               const std::filesystem::path& folder, const TrainCall& call) {
  check_trainable(options);
  const Processes& processes = *call.processes;
  const auto device = select_device(runtime);
  LoaderOptions loading{.batch_size = options.train.batch_size,
                        .seed = runtime.seed,
                        .pin = device.is_cuda(),
                        .rank = processes.rank(),
                        .world = processes.count()};
  CaseLoader loader(dataset, "train", loading, {.ct = true, .cxr = false});
  const double perceptual = options.loss.perceptual_weight;
  VqganTask task(options, load_lpips(lpips, perceptual, device), runtime,
                 loader.batches_per_epoch(), processes);
  if (!processes.alone()) {
    task.vqgan()->codebook()->set_all_reduce([&](at::Tensor& x) { processes.sum(x); });
    task.vqgan()->codebook()->set_broadcast([&](at::Tensor& x) { processes.broadcast(x); });
  }
  const auto held_out = with_volume(dataset.split("val"));

  TrainingStage stage;
  stage.name = "train-vae";
  stage.module = &task.trained();
  if (task.discriminators()) {
    stage.opponents.push_back({"discriminator", task.discriminators().get(),
                               options.loss.discriminator_learning_rate, options.train.betas, 0,
                               [&](int64_t) { return task.discriminator_loss(); }});
  }
  stage.start_at = [&](int64_t count) { loader.restore({count}); };
  stage.waited = [&] { return loader.waited_seconds(); };
  stage.loss = [&](int64_t number) { return task.loss(loader.next(), number); };
  stage.validate = [&]() -> Validation {
    at::NoGradGuard no_grad;
    double l1 = 0, psnr = 0;
    for (const auto& c : held_out) {
      const auto x = dataset.load_ct(c), made = task.reconstruction(x).to(at::kCPU);
      l1 += (made - x).abs().mean().item<double>() / double(held_out.size());
      psnr += psnr_db(made, x) / double(held_out.size());
    }
    Validation found(l1);
    if (!held_out.empty()) found.terms.emplace_back("psnr_db", psnr);
    return found;
  };
  stage.preview = [&] {
    at::NoGradGuard no_grad;
    std::vector<Picture> pictures;
    for (size_t i = 0; i < std::min<size_t>(2, held_out.size()); ++i) {
      const auto x = dataset.load_ct(held_out[i]);
      pictures.push_back(
          {held_out[i].id,
           volume_picture(dataset.info(), {x, task.reconstruction(x).to(at::kCPU)})});
    }
    return pictures;
  };
  std::string settings = options_to_yaml(options) + "dataset: " + dataset.info().hash +
                         "\nseed: " + std::to_string(runtime.seed) + "\n";
  if (!lpips.empty() && perceptual > 0)
    settings += "lpips: " + sha256_of_file(model_weights_file(lpips)) + "\n";
  if (!train(stage, options.train, settings, folder, call)) return;
  save_module(folder / "model", *task.vqgan(), options_to_yaml(options.model));
  write_file(folder / "model" / "dataset.yaml", options_to_yaml(dataset.info()));
  write_reconstruction(dataset, task, folder);
}

}  // namespace x2ctpa
