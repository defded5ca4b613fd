#include "training/trained_autoencoder.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "training/codebook_usage.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/models/conv_autoencoder3d.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

// The random numbers of a batch.
at::Generator batch_stream(int64_t seed, int64_t number) {
  return random_stream(seed, fmt::format("vae/step/{}", number));
}

class TrainedVqgan : public TrainedAutoencoder {
 public:
  TrainedVqgan(const VaeOptions& options, int64_t seed, int64_t batches_per_epoch,
               const Processes& processes)
      : collapse_perplexity_(options.loss.collapse_perplexity),
        seed_(seed),
        batches_per_epoch_(batches_per_epoch),
        processes_(processes) {
    vqgan_ = trained_->register_module("vqgan", Vqgan3d(options.model));
    usage_ = trained_->register_module("usage", CodebookUsage(options.model.codes));
    if (processes.alone()) return;
    vqgan_->codebook()->set_all_reduce([&processes](at::Tensor& x) { processes.sum(x); });
    vqgan_->codebook()->set_broadcast([&processes](at::Tensor& x) { processes.broadcast(x); });
  }

  torch::nn::Module& module() override { return *trained_; }
  int64_t channels() const override { return vqgan_->options().channels; }

  Output forward(const at::Tensor& x, int64_t number) override {
    last_ = vqgan_->forward(x, batch_stream(seed_, number));
    return {
        last_->reconstruction,
        {{"commitment", 1, commitment_loss(last_->codes, vqgan_->options().commitment_weight)}}};
  }

  void add_to_log(int64_t number, StepLoss& loss) override {
    loss.terms.emplace_back("perplexity", last_->codes.perplexity);
    count_codes(number, loss);
    last_.reset();
  }

  at::Tensor reconstruction(const at::Tensor& x) override {
    const auto device = vqgan_->parameters().front().device();
    return vqgan_->forward(x.unsqueeze(0).to(device)).reconstruction.squeeze(0).to(at::kCPU);
  }

  void save(const std::filesystem::path& folder) const override {
    save_module(folder, *vqgan_, options_to_yaml(vqgan_->options()));
  }

 private:
  // Use of the codebook over each epoch; with too little of it, unused codes are drawn anew.
  void count_codes(int64_t number, StepLoss& loss);

  double collapse_perplexity_;
  int64_t seed_, batches_per_epoch_;
  const Processes& processes_;
  std::shared_ptr<torch::nn::Module> trained_ = std::make_shared<torch::nn::Module>("trained");
  Vqgan3d vqgan_{nullptr};
  CodebookUsage usage_{nullptr};
  std::optional<Vqgan3dOutput> last_;
};

void TrainedVqgan::count_codes(int64_t number, StepLoss& loss) {
  usage_->add(last_->codes.indices, [&](at::Tensor& counts) {
    if (!processes_.alone()) processes_.sum(counts);
  });
  if ((number / processes_.count() + 1) % batches_per_epoch_ == 0) {
    usage_->end_epoch();
    const double codes = double(vqgan_->options().codes), perplexity = usage_->last_perplexity();
    if (perplexity < collapse_perplexity_ * codes) {
      log_warning(
          "train-vae: the codebook has collapsed: a perplexity of {:.1f} over the epoch, {:.2f}% "
          "of {} codes used. The unused ones are drawn anew. If it comes again, lower the learning "
          "rate or take fewer codes.",
          perplexity, 100 * usage_->last_use(), codes);
      vqgan_->codebook()->restart(last_->z, usage_->unused(),
                                  random_stream(seed_, fmt::format("vae/restart/{}", number)));
    }
  }
  if (std::isnan(usage_->last_use())) return;
  loss.terms.emplace_back("epoch_code_use", at::tensor(usage_->last_use()));
  loss.terms.emplace_back("epoch_perplexity", at::tensor(usage_->last_perplexity()));
}

class TrainedConvAutoencoder : public TrainedAutoencoder {
 public:
  TrainedConvAutoencoder(const VaeOptions& options, int64_t seed)
      : seed_(seed), network_(options.conv) {}

  torch::nn::Module& module() override { return *network_; }
  int64_t channels() const override { return network_->options().channels; }

  Output forward(const at::Tensor& x, int64_t number) override {
    const auto out = network_->forward(x, batch_stream(seed_, number));
    Output output{out.reconstruction, {}};
    if (network_->options().variational())
      output.terms.push_back({"kl", network_->options().kl_weight, kl_loss(out.posterior)});
    return output;
  }

  void start_from(int64_t count, const std::function<at::Tensor(int64_t)>& volume) override {
    network_->start_from_components(count, volume);
  }

  void add_to_log(int64_t, StepLoss&) override {}

  // In slabs: a volume that could be trained on can be looked at.
  at::Tensor reconstruction(const at::Tensor& x) override {
    const auto volume = x.unsqueeze(0).to(network_->parameters().front().device());
    const auto latent = network_->encode(volume, network_->plan_encode(volume.sizes(), {}));
    return network_->decode(latent, network_->plan_decode(latent.sizes(), {}))
        .squeeze(0)
        .to(at::kCPU);
  }

  void save(const std::filesystem::path& folder) const override {
    save_module(folder, *network_, options_to_yaml(network_->options()));
  }

 private:
  int64_t seed_;
  ConvAutoencoder3d network_;
};

}  // namespace

std::unique_ptr<TrainedAutoencoder> make_trained_autoencoder(const VaeOptions& options,
                                                             int64_t seed,
                                                             int64_t batches_per_epoch,
                                                             const Processes& processes) {
  if (options.kind == AutoencoderKind::conv)
    return std::make_unique<TrainedConvAutoencoder>(options, seed);
  return std::make_unique<TrainedVqgan>(options, seed, batches_per_epoch, processes);
}

}  // namespace x2ctpa
