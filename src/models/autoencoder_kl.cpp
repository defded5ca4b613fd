#include "x2ctpa/models/autoencoder_kl.h"

#include <fmt/format.h>

#include <c10/util/accumulate.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include "models/autoencoder_kl_blocks.h"
#include "models/checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

void AutoencoderKlOptions::describe(OptionList& list) {
  list.add("in_channels", &in_channels, "Channels of the input.", {.min = 1});
  list.add("out_channels", &out_channels, "Channels of the output.", {.min = 1});
  list.add("block_out_channels", &block_out_channels,
           "Channels of each level; each level but the last halves the picture.", {.min = 1});
  list.add("layers_per_block", &layers_per_block,
           "Residual blocks of each level of the encoder; the decoder has one more.", {.min = 1});
  list.add("latent_channels", &latent_channels, "Channels of the latent.", {.min = 1});
  list.add("norm_num_groups", &norm_num_groups, "Groups of GroupNorm.", {.min = 1});
  list.add("scaling_factor", &scaling_factor, "Latents of volumes are multiplied by this.",
           {.min = 1e-6});
}

namespace {

void check_options(const AutoencoderKlOptions& o) {
  if (o.block_out_channels.empty()) {
    throw Error("autoencoder: expected at least one entry in block_out_channels");
  }
  for (const int64_t width : o.block_out_channels) {
    require_multiple(width, o.norm_num_groups, "autoencoder: block_out_channels");
  }
}

// Applies `part` to rows of `x` (N, ...), `at_once` at a time, each result written to its place in
// one tensor; at once where gradients are wanted.
at::Tensor in_parts(const at::Tensor& x, int64_t at_once,
                    const std::function<at::Tensor(const at::Tensor&)>& part) {
  if (at_once < 1) throw Error(fmt::format("autoencoder: {} slices at once", at_once));
  if (torch::GradMode::is_enabled() || x.size(0) <= at_once) return part(x);
  at::Tensor result;
  for (int64_t start = 0; start < x.size(0); start += at_once) {
    const auto y = part(x.narrow(0, start, std::min(at_once, x.size(0) - start)));
    if (!result.defined()) {
      auto sizes = y.sizes().vec();
      sizes[0] = x.size(0);
      result = at::empty(sizes, y.options());
    }
    result.narrow(0, start, y.size(0)).copy_(y);
  }
  return result;
}

// What one slice of `pixels` takes at most. Each level's first residual block is the widest place:
// its input, the norm's output in two orders, and two of its own outputs live at once.
int64_t slice_bytes(const AutoencoderKlOptions& o, int64_t pixels, int64_t item, bool decoding) {
  int64_t most = 0;
  const auto& widths = o.block_out_channels;
  for (size_t level = 0; level < widths.size(); ++level) {
    const size_t before = decoding ? std::min(level + 1, widths.size() - 1) : level - (level > 0);
    const int64_t channels = 3 * widths[before] + 2 * widths[level];
    most = std::max(most, (pixels >> (2 * level)) * channels * item);
  }
  return most;
}

MemoryPlan slice_plan(int64_t slices, int64_t whole_bytes, int64_t bytes_per_slice,
                      const MemoryLimit& limit, bool on_cpu, const std::string& doing) {
  // A single slice keeps the cores of a CPU busy; more only take memory.
  const int64_t most_slices = on_cpu ? 1 : 4;
  MemoryPlan plan;
  plan.type = limit.type;
  plan.kept = 0;
  const int64_t left = limit.bytes - whole_bytes;
  if (left < bytes_per_slice) {
    throw Error(
        fmt::format("{}: takes {:.2f} GB even slice by slice, and {:.2f} GB may be used. "
                    "Raise --runtime.memory_gb, end other programs, or take a smaller grid.",
                    doing, double(whole_bytes + bytes_per_slice) / 1e9, double(limit.bytes) / 1e9),
        ExitCode::out_of_memory);
  }
  plan.at_once = std::clamp<int64_t>(left / bytes_per_slice, 1, std::min(slices, most_slices));
  plan.slab_bytes = plan.at_once * bytes_per_slice;
  plan.bytes = whole_bytes + plan.slab_bytes;
  return plan;
}

bool on_cpu(const torch::nn::Module& module) { return module.parameters().front().is_cpu(); }

// (B, C, D, H, W) -> (B D, C, H, W), a view where D is next to B already.
at::Tensor slices_of(const at::Tensor& x) { return x.transpose(1, 2).flatten(0, 1); }

// The inverse, contiguous.
at::Tensor stacked(const at::Tensor& slices, int64_t batch) {
  return slices.view({batch, -1, slices.size(1), slices.size(2), slices.size(3)})
      .transpose(1, 2)
      .contiguous();
}

}  // namespace

AutoencoderKlImpl::AutoencoderKlImpl(AutoencoderKlOptions options) : options_(std::move(options)) {
  check_options(options_);
  const int64_t z = options_.latent_channels;
  encoder_ = register_module("encoder", std::make_shared<autoencoder_kl::EncoderImpl>(options_));
  decoder_ = register_module("decoder", std::make_shared<autoencoder_kl::DecoderImpl>(options_));
  using torch::nn::Conv2d;
  using torch::nn::Conv2dOptions;
  quant_conv_ = register_module("quant_conv", Conv2d(Conv2dOptions(2 * z, 2 * z, 1)));
  post_quant_conv_ = register_module("post_quant_conv", Conv2d(Conv2dOptions(z, z, 1)));
}

int64_t AutoencoderKlImpl::size_factor() const {
  return int64_t{1} << (options_.block_out_channels.size() - 1);
}

LatentPosterior AutoencoderKlImpl::encode(const at::Tensor& x) {
  require_shape(x, {-1, options_.in_channels, -1, -1}, "autoencoder: picture (B, C, H, W)");
  require_multiple(x.size(2), size_factor(), "autoencoder: H of the picture");
  require_multiple(x.size(3), size_factor(), "autoencoder: W of the picture");
  return LatentPosterior::from_moments(quant_conv_->forward(encoder_->forward(x)));
}

at::Tensor AutoencoderKlImpl::decode(const at::Tensor& z) {
  require_shape(z, {-1, options_.latent_channels, -1, -1}, "autoencoder: latent (B, C, h, w)");
  return decoder_->forward(post_quant_conv_->forward(z)).contiguous();
}

MemoryPlan AutoencoderKlImpl::plan_encode_volume(at::IntArrayRef shape,
                                                 const MemoryLimit& limit) const {
  const auto item = int64_t(c10::elementSize(limit.type));
  return slice_plan(shape[0] * shape[2], c10::multiply_integers(shape) * item,
                    slice_bytes(options_, shape[3] * shape[4], item, /*decoding=*/false), limit,
                    on_cpu(*this), "autoencoder: encoding a volume of " + shape_text(shape));
}

MemoryPlan AutoencoderKlImpl::plan_decode_volume(at::IntArrayRef shape,
                                                 const MemoryLimit& limit) const {
  const auto item = int64_t(c10::elementSize(limit.type));
  const int64_t slices = shape[0] * shape[2];
  const int64_t pixels = shape[3] * shape[4] * size_factor() * size_factor();
  // The slices, and their copy in the order of a volume.
  return slice_plan(slices, 2 * slices * pixels * item,
                    slice_bytes(options_, pixels, item, /*decoding=*/true), limit, on_cpu(*this),
                    "autoencoder: decoding a latent of " + shape_text(shape));
}

at::Tensor AutoencoderKlImpl::encode_volume(const at::Tensor& volume, bool sampled,
                                            std::optional<at::Generator> generator,
                                            int64_t slices_at_once) {
  require_shape(volume, {-1, 1, -1, -1, -1}, "autoencoder: volume (B, 1, D, H, W)");
  const auto latent = in_parts(slices_of(volume), slices_at_once, [&](const at::Tensor& grey) {
    const auto posterior = encode(grey.expand({-1, options_.in_channels, -1, -1}));
    return sampled ? posterior.sample(generator) : posterior.mean;
  });
  return stacked(latent, volume.size(0)) * options_.scaling_factor;
}

at::Tensor AutoencoderKlImpl::decode_volume(const at::Tensor& latent, int64_t slices_at_once) {
  require_shape(latent, {-1, options_.latent_channels, -1, -1, -1},
                "autoencoder: latent (B, C, D, h, w)");
  const auto grey = in_parts(slices_of(latent), slices_at_once, [&](const at::Tensor& z) {
    return decode(z / options_.scaling_factor).mean(1, /*keepdim=*/true);
  });
  return stacked(grey, latent.size(0));
}

}  // namespace x2ctpa
