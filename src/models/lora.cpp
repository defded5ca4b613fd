#include "x2ctpa/models/lora.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <string>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

void LoraOptions::describe(OptionList& list) {
  list.add("rank", &rank,
           "Rank of the updates of linear layers, those of attention among them; 0: none.",
           {.min = 0});
  list.add("conv_rank", &conv_rank, "Rank of the updates of convolutions; 0: none.", {.min = 0});
  list.add("scale", &scale, "Factor of the updates.", {.min = 0});
}

LoraImpl::LoraImpl(torch::nn::Module& target, LoraOptions options) : options_(options) {
  for (auto& parameter : target.parameters()) parameter.set_requires_grad(false);
  for (const auto& item : target.named_modules()) {
    const auto own = item.value()->named_parameters(/*recurse=*/false);
    const auto* weight = own.find("weight");
    if (weight == nullptr) continue;
    const bool linear = item.value()->as<torch::nn::Linear>() != nullptr;
    const bool convolution = weight->dim() >= 4;
    if (linear && options.rank > 0) add(item.key(), *weight, options.rank);
    if (convolution && options.conv_rank > 0) add(item.key(), *weight, options.conv_rank);
  }
  if (updates_.empty()) {
    throw Error("LoRA: there is no layer to train; set lora.rank or lora.conv_rank above 0");
  }
}

void LoraImpl::add(const std::string& layer, at::Tensor weight, int64_t rank) {
  const int64_t rows = weight.size(0), columns = weight.numel() / rows;
  std::string name = layer;
  for (char& c : name) {
    if (c == '.') c = '/';  // a dot would be a module
  }
  const auto down = at::randn({rank, columns}) / double(rank);
  Update update;
  update.down = register_parameter(name + "/lora_down", down.to(weight.options()));
  update.up = register_parameter(name + "/lora_up", at::zeros({rows, rank}, weight.options()));
  update.base = weight.detach().clone();
  update.weight = std::move(weight);
  updates_.push_back(std::move(update));
}

void LoraImpl::apply() {
  for (auto& u : updates_) {
    // An in-place sum with what needs gradients makes the parameter itself a part of the graph, in
    // every handle that the target holds of it.
    u.weight.detach_();
    u.weight.copy_(u.base);
    u.weight.add_(at::matmul(u.up, u.down).view(u.base.sizes()), options_.scale);
  }
}

}  // namespace x2ctpa
