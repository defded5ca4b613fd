#include "x2ctpa/models/pe_pair.h"

#include <ATen/ATen.h>

#include <utility>

#include "models/checks.h"

namespace x2ctpa {

void PePairOptions::describe(OptionList& options) {
  options.section("xray", xray);
  options.section("volume", volume);
  options.add("xray_shape", &xray_shape, "Shape of the X-ray.", {.min = 1});
  options.add("volume_shape", &volume_shape, "Shape of the volume or latent.", {.min = 1});
  options.add("slope", &slope, "Factor of the mean of both logits.");
  options.add("intercept", &intercept, "What is added to it.");
}

PePairImpl::PePairImpl(PePairOptions options)
    : PePairImpl(options, PeNetwork(options.xray), PeNetwork(options.volume)) {}

PePairImpl::PePairImpl(PePairOptions options, PeNetwork xray, PeNetwork volume)
    : options_(std::move(options)) {
  xray_ = register_module("xray", std::move(xray));
  volume_ = register_module("volume", std::move(volume));
}

at::Tensor PePairImpl::forward(const at::Tensor& x) {
  const auto batch_of = [](std::vector<int64_t> shape) {
    shape.insert(shape.begin(), -1);
    return shape;
  };
  int64_t xray_numbers = 1, volume_numbers = 1;
  for (const int64_t side : options_.xray_shape) xray_numbers *= side;
  for (const int64_t side : options_.volume_shape) volume_numbers *= side;
  require_shape(x, {-1, xray_numbers + volume_numbers}, "PE classifier: X-ray and volume (B, E)");
  const at::Tensor xray = x.slice(1, 0, xray_numbers).reshape(batch_of(options_.xray_shape));
  const at::Tensor volume = x.slice(1, xray_numbers).reshape(batch_of(options_.volume_shape));
  const at::Tensor mean = 0.5 * (xray_->forward(xray) + volume_->forward(volume));
  return options_.slope * mean + options_.intercept;
}

}  // namespace x2ctpa
