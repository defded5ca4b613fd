#include "support/test_device.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <array>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "x2ctpa/core/device.h"

namespace x2ctpa::test {
namespace {

using at::Tensor;
const c10::Device device(c10::DeviceType::PrivateUse1, 0);

class TestAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* memory = bytes == 0 ? nullptr : std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    return {memory, memory, &std::free, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

TestAllocator& allocator() {
  static TestAllocator instance;
  return instance;
}

class TestGuard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return c10::DeviceType::PrivateUse1; }
  c10::Device exchangeDevice(c10::Device) const override { return device; }
  c10::Device getDevice() const override { return device; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const override { return stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex,
              const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  void synchronizeStream(const c10::Stream&) const override {}

 private:
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, device); }
};

// Before the first backward of the process: the autograd engine counts devices once.
const c10::impl::DeviceGuardImplRegistrar registrar(c10::DeviceType::PrivateUse1, new TestGuard);

struct TestHooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  at::Device getDeviceFromPtr(void*) const override { return device; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::detail::createCPUGenerator();
  }
};

// The same memory as a CPU tensor.
Tensor on_cpu(const Tensor& tensor) {
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  auto alias =
      at::from_blob(const_cast<void*>(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
                    tensor.options().device(at::kCPU).requires_grad(false));
  if (tensor.is_conj()) alias = alias.conj();
  return tensor.is_neg() ? alias._neg_view() : alias;
}

std::optional<Tensor> on_cpu(const std::optional<Tensor>& tensor) {
  return tensor.has_value() ? std::optional<Tensor>(on_cpu(*tensor)) : std::nullopt;
}

Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>,
             std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator(),
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   type.value_or(at::kFloat), format);
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                     std::optional<at::ScalarType> type, std::optional<at::Layout>,
                     std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           type.value_or(at::kFloat));
}

Tensor on_test_device(const Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  auto result = empty_strided(tensor.sizes(), tensor.strides(), tensor.scalar_type(), {}, {}, {});
  on_cpu(result).copy_(tensor);
  return result;
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

const Tensor& resize_tensor(const Tensor& tensor, at::IntArrayRef size,
                            std::optional<at::MemoryFormat>) {
  if (tensor.sizes() == size) return tensor;  // replaces the memory: views keep the old one
  auto fresh = empty(size, tensor.scalar_type(), {}, {}, {}, {});
  auto* impl = tensor.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(fresh.storage());
  impl->set_storage_offset(0);
  impl->set_sizes_contiguous(size);
  return tensor;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  resize_tensor(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

// Module::to() asks this before it moves a parameter in place.
bool may_move(const Tensor&, const Tensor&) { return true; }

at::Scalar local_scalar(const Tensor& tensor) { return on_cpu(tensor).item(); }

void refuse_mixed(const char* op, std::initializer_list<Tensor> tensors) {
  for (const auto& tensor : tensors) {
    TORCH_CHECK(!tensor.defined() || tensor.dim() == 0 || !tensor.is_cpu(), op,
                ": expected all tensors on the test device, found one on the CPU");
  }
}

Tensor convolution(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                   at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                   bool transposed, at::IntArrayRef output_padding, int64_t groups) {
  refuse_mixed("convolution", {input, weight, bias.value_or(Tensor())});
  return on_test_device(at::convolution(on_cpu(input), on_cpu(weight), on_cpu(bias), stride,
                                        padding, dilation, transposed, output_padding, groups));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& gradient, const Tensor& input, const Tensor& weight, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
    at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> wanted) {
  refuse_mixed("convolution_backward", {gradient, input, weight});
  const std::vector<int64_t> bias{transposed ? weight.size(1) * groups : weight.size(0)};
  auto [x, w, b] = at::convolution_backward(on_cpu(gradient), on_cpu(input), on_cpu(weight),
                                            at::OptionalIntArrayRef(bias), stride, padding,
                                            dilation, transposed, output_padding, groups, wanted);
  return {on_test_device(x), on_test_device(w), on_test_device(b)};
}

// Its own kernel because the schema does not say that the running statistics change.
std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& input,
                                              const std::optional<Tensor>& weight,
                                              const std::optional<Tensor>& bias,
                                              const std::optional<Tensor>& mean,
                                              const std::optional<Tensor>& variance, bool training,
                                              double momentum, double epsilon) {
  refuse_mixed("batch_norm", {input, weight.value_or(Tensor()), bias.value_or(Tensor()),
                              mean.value_or(Tensor()), variance.value_or(Tensor())});
  auto [y, m, v] = at::native_batch_norm(on_cpu(input), on_cpu(weight), on_cpu(bias), on_cpu(mean),
                                         on_cpu(variance), training, momentum, epsilon);
  return {on_test_device(y), on_test_device(m), on_test_device(v)};
}

// Every other operator: on the CPU, unless its tensors lie on two devices.
void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string& name = op.schema().name();
  const bool takes_cpu_indices = name == "aten::index" || name == "aten::index_put_" ||
                                 name == "aten::_index_put_impl_" || name == "aten::index_put";
  if (!takes_cpu_indices) {
    for (const auto& value : torch::jit::last(*stack, op.schema().arguments().size())) {
      if (value.isTensor()) refuse_mixed(name.c_str(), {value.toTensor()});
      if (value.isTensorList()) {
        for (const Tensor& tensor : value.toTensorVector()) refuse_mixed(name.c_str(), {tensor});
      }
    }
  }
  at::native::cpu_fallback(op, stack);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
  library.impl("view_as_complex", &at::native::view_as_complex);
  library.impl("view_as_real", &at::native::view_as_real);
  library.impl("resize_", &resize_tensor);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_has_compatible_shallow_copy_type", &may_move);
  library.impl("_local_scalar_dense", &local_scalar);
  library.impl("convolution_overrideable", &convolution);
  library.impl("convolution_backward_overrideable", &convolution_backward);
  library.impl("native_batch_norm", &batch_norm);
  // Without this LibTorch takes a composite kernel that has no channels-last form.
  library.impl("native_group_norm", torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

// Copies see the lazy conjugation and negation themselves; LibTorch's resolving of them copies.
TORCH_LIBRARY_IMPL(aten, Conjugate, library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, Negative, library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

}  // namespace

c10::Device test_device() {
  if (const char* other = std::getenv("X2CTPA_TEST_DEVICE")) {
    static std::once_flag once;
    std::call_once(once, [] { configure_runtime({.threads = 1, .deterministic = true}); });
    return select_device({.device = other});
  }
  static const bool registered = [] {
    static TestHooks hooks;
    c10::SetAllocator(c10::DeviceType::PrivateUse1, &allocator());
    at::RegisterPrivateUse1HooksInterface(&hooks);
    c10::register_privateuse1_backend("testdevice");
    return true;
  }();
  (void)registered;
  return device;
}

}  // namespace x2ctpa::test
