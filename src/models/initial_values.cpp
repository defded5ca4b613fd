#include <torch/library.h>

#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

// A mode of the thread: LibTorch asks this key before all others, and no tensor carries it.
constexpr auto generic_mode_key = c10::DispatchKey::TESTING_ONLY_GenericMode;

at::Tensor& leave(at::Tensor& x, double, double, std::optional<at::Generator>) { return x; }

// At the first use: the registration passes through all operators, for which --help has no time.
c10::DispatchKey registered_key() {
  static const auto registered = [] {
    std::pair libraries(MAKE_TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode),
                        MAKE_TORCH_LIBRARY_IMPL(aten, TESTING_ONLY_GenericMode));
    libraries.first.fallback(torch::CppFunction::makeFallthrough());
    libraries.second.impl("uniform_", leave);
    libraries.second.impl("normal_", leave);
    return libraries;
  }();
  return generic_mode_key;
}

}  // namespace

WithoutInitialValues::WithoutInitialValues() : mode_(registered_key()) {}

}  // namespace x2ctpa
