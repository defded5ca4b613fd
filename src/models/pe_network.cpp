#include "x2ctpa/models/pe_network.h"

#include <ATen/ATen.h>

#include <string>
#include <utility>

#include "models/checks.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {

void PeNetworkOptions::describe(OptionList& options) {
  densenet.describe(options);
  options.add("embedding_dim", &embedding_dim,
              "Length of the embedding that a linear layer classifies; 0: a DenseNet.", {.min = 0});
  options.section("probe", probe);
}

namespace {

// A probe's config.yaml tells of nothing else.
struct ProbeAlone {
  LinearProbeOptions probe;

  void describe(OptionList& options) { options.section("probe", probe); }
};

}  // namespace

PeNetworkImpl::PeNetworkImpl(PeNetworkOptions options) : options_(std::move(options)) {
  if (!options_.probe.grid.empty()) {
    probe_ = register_module("probe", LinearProbe(options_.probe));
  } else if (options_.embedding_dim > 0) {
    linear_ = register_module("linear", torch::nn::Linear(options_.embedding_dim, 1));
  } else {
    densenet_ = register_module("densenet", DenseNet3d(options_.densenet));
  }
}

PeNetworkImpl::PeNetworkImpl(LinearProbe probe) {
  options_.probe = probe->options();
  probe_ = register_module("probe", std::move(probe));
}

at::Tensor PeNetworkImpl::forward(const at::Tensor& x) {
  if (!probe_.is_empty()) return probe_->forward(x);
  if (linear_.is_empty()) return densenet_->forward(x).squeeze(1);
  require_shape(x, {-1, options_.embedding_dim}, "PE classifier: embedding (B, E)");
  return linear_->forward(x).squeeze(1);
}

torch::nn::Module& PeNetworkImpl::weights() {
  if (!probe_.is_empty()) return *probe_;
  if (linear_.is_empty()) return *densenet_;
  return *linear_;
}

std::string PeNetworkImpl::config() const {
  if (!probe_.is_empty()) return options_to_yaml(ProbeAlone{options_.probe});
  return linear_.is_empty() ? options_to_yaml(options_.densenet) : options_to_yaml(options_);
}

PeNetwork load_pe_network(const std::filesystem::path& folder) {
  auto network = without_initial_values(
      [&] { return PeNetwork(load_options<PeNetworkOptions>(model_config_file(folder))); });
  load_module(folder, network->weights());
  network->eval();
  return network;
}

}  // namespace x2ctpa
