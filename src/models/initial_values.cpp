#include <ATen/CPUGeneratorImpl.h>
#include <torch/library.h>
#include <torch/nn/modules/linear.h>

#include <optional>
#include <utility>

#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

// A mode of the thread: LibTorch asks this key before all others, and no tensor carries it.
constexpr auto generic_mode_key = c10::DispatchKey::TESTING_ONLY_GenericMode;

at::Tensor& leave(at::Tensor& x, double, double, std::optional<at::Generator>) { return x; }

// The registration passes through all operators, for which --help has no time.
void register_mode() {
  static const auto registered = [] {
    std::pair libraries(MAKE_TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode),
                        MAKE_TORCH_LIBRARY_IMPL(aten, TESTING_ONLY_GenericMode));
    libraries.first.fallback(torch::CppFunction::makeFallthrough());
    libraries.second.impl("uniform_", leave);
    libraries.second.impl("normal_", leave);
    return libraries;
  }();
}

// Whether under `key` random fills leave a tensor as it is and a small layer can be built and used.
bool leaves_random_fills(c10::DispatchKey key) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const at::Tensor state = generator.get_state();
  bool works = false;
  try {
    const c10::impl::IncludeDispatchKeyGuard mode(key);
    const at::Tensor twos = at::full({2}, 2.0);
    twos.uniform_();
    twos.normal_();
    torch::nn::Linear layer(2, 3);
    at::NoGradGuard no_grad;
    layer->weight.fill_(1);
    layer->bias.fill_(1);
    works = at::equal(twos, at::full({2}, 2.0)) &&
            at::equal(layer->forward(twos), at::full({3}, 5.0)) &&
            at::equal(generator.get_state(), state);
  } catch (const std::exception&) {
  }
  if (!works) generator.set_state(state);
  return works;
}

bool mode_works() {
  try {
    register_mode();
    return leaves_random_fills(generic_mode_key);
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

WithoutInitialValues::WithoutInitialValues() {
  static const bool works = mode_works();
  if (works) mode_.emplace(generic_mode_key);
}

WithoutInitialValues::WithoutInitialValues(c10::DispatchKey key) {
  if (leaves_random_fills(key)) mode_.emplace(key);
}

}  // namespace x2ctpa
