#include "x2ctpa/models/kernels/recompute.h"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "x2ctpa/core/autocast.h"

namespace x2ctpa {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using BlockFunction = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

thread_local bool enabled = false;

// What backward() needs besides the inputs.
struct Kept : torch::CustomClassHolder {
  BlockFunction block;
  c10::ScalarType type = c10::kFloat;
};

struct Recomputed : torch::autograd::Function<Recomputed> {
  // `anchor` needs a gradient, so that the block's parameters get theirs even when no input does.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& anchor,
                            const c10::intrusive_ptr<Kept>& kept, at::TensorList inputs) {
    context->save_for_backward(inputs.vec());
    context->saved_data["kept"] = c10::IValue::make_capsule(kept);
    at::NoGradGuard no_grad;
    return kept->block(inputs.vec());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    auto inputs = context->get_saved_variables();
    const auto kept =
        c10::static_intrusive_pointer_cast<Kept>(context->saved_data["kept"].toCapsule());
    variable_list fresh;
    for (const auto& input : inputs)
      fresh.push_back(input.detach().requires_grad_(input.requires_grad()));
    {
      at::AutoGradMode with_gradients(true);
      const Autocast precision(gradients[0].device().type(), kept->type);
      const RecomputeActivations not_again(false);
      const auto output = kept->block(fresh);
      torch::autograd::backward({output}, {gradients[0]});
    }
    variable_list out{at::Tensor(), at::Tensor()};  // of the anchor and of `kept`
    for (const auto& input : fresh) out.push_back(input.grad());
    return out;
  }
};

}  // namespace

RecomputeActivations::RecomputeActivations(bool on) : before_(enabled) { enabled = on; }
RecomputeActivations::~RecomputeActivations() { enabled = before_; }

at::Tensor recomputed(const BlockFunction& block, const std::vector<at::Tensor>& inputs) {
  if (!enabled || !at::GradMode::is_enabled()) return block(inputs);
  auto kept = c10::make_intrusive<Kept>();
  // Autograd takes no undefined tensors.
  std::vector<at::Tensor> defined;
  std::vector<bool> present;
  for (const auto& input : inputs) {
    present.push_back(input.defined());
    if (input.defined()) defined.push_back(input);
  }
  kept->block = [block, present](const std::vector<at::Tensor>& given) {
    std::vector<at::Tensor> all(present.size());
    size_t next = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      if (present[i]) all[i] = given[next++];
    }
    return block(all);
  };
  const auto device = inputs.front().device();
  if (at::autocast::is_autocast_enabled(device.type()))
    kept->type = at::autocast::get_autocast_dtype(device.type());
  const auto anchor = at::empty({0}, inputs.front().options().dtype(at::kFloat)).requires_grad_();
  return Recomputed::apply(anchor, kept, at::TensorList(defined));
}

}  // namespace x2ctpa
