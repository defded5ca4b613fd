#include "x2ctpa/models/vqgan3d.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>

#include "checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

void Vqgan3dOptions::describe(OptionList& list) {
  list.add("channels", &channels, "channels of the volume", {.min = 1});
  list.add("hidden_channels", &hidden_channels,
           "channels before the first downsampling; each doubles them", {.min = 1});
  list.add("embedding_dim", &embedding_dim, "channels of the latent", {.min = 1});
  list.add("codes", &codes, "size of the codebook", {.min = 1});
  list.add("downsample", &downsample, "downsampling along D, H, W; powers of two",
           {.min = 1, .count = 3});
  list.add("norm", &norm, "group: by sample; batch: over the batch, its averages in evaluation",
           {.choices = {"group", "batch"}});
  list.add("groups", &groups, "groups of GroupNorm; fewer where they do not divide the channels",
           {.min = 1});
  list.add("commitment_weight", &commitment_weight, "weight of the commitment loss", {.min = 0});
  list.add("ema_decay", &ema_decay, "decay of the codebook's moving averages",
           {.min = 0, .max = 1});
  list.add("random_restart", &random_restart,
           "draw codes that are hardly used anew from the batch");
  list.add("restart_threshold", &restart_threshold, "average use below which a code is drawn anew",
           {.min = 0});
}

namespace vqgan3d {

using Sizes = std::vector<int64_t>;

/// Replicate padding on both sides of each axis so that a convolution of this kernel and stride
/// gives size / stride; the odd voxel goes before. In the order of torch::pad: last axis first.
Sizes same_padding(const Sizes& kernel, const Sizes& stride) {
  Sizes padding;
  for (size_t axis = kernel.size(); axis-- > 0;) {
    const int64_t total = kernel[axis] - stride[axis];
    padding.push_back(total / 2 + total % 2);
    padding.push_back(total / 2);
  }
  return padding;
}

at::Tensor replicate(const at::Tensor& x, const Sizes& padding) {
  const bool none = std::all_of(padding.begin(), padding.end(), [](int64_t p) { return p == 0; });
  return none ? x : at::replication_pad3d(x, padding);
}

/// In place where no gradient is wanted.
at::Tensor activate(at::Tensor x) {
  return torch::GradMode::is_enabled() ? at::silu(x) : at::silu_(x);
}

class NormImpl : public torch::nn::Module {
 public:
  NormImpl(int64_t channels, const Vqgan3dOptions& o)
      : groups_(o.norm == "batch" ? 0 : fitting_groups(channels, o.groups)) {
    weight_ = register_parameter("weight", at::ones({channels}));
    bias_ = register_parameter("bias", at::zeros({channels}));
    if (groups_ > 0) return;
    mean_ = register_buffer("running_mean", at::zeros({channels}));
    variance_ = register_buffer("running_var", at::ones({channels}));
    batches_ = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  }
  at::Tensor forward(const at::Tensor& x) {
    if (groups_ > 0) return at::group_norm(x, groups_, weight_, bias_, 1e-6);
    if (is_training()) batches_.add_(1);
    return at::batch_norm(x, weight_, bias_, mean_, variance_, is_training(), 0.1, 1e-5, true);
  }

 private:
  int64_t groups_;  // 0: batch norm
  at::Tensor weight_, bias_, mean_, variance_, batches_;
};
TORCH_MODULE(Norm);

class SamePadConvImpl : public torch::nn::Module {
 public:
  SamePadConvImpl(int64_t in, int64_t out, int64_t kernel, const Sizes& stride = {1, 1, 1})
      : padding_(same_padding(Sizes(3, kernel), stride)) {
    conv_ = register_module(
        "conv", torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, kernel).stride(stride)));
  }
  at::Tensor forward(const at::Tensor& x) { return conv_->forward(replicate(x, padding_)); }

 private:
  Sizes padding_;
  torch::nn::Conv3d conv_{nullptr};
};
TORCH_MODULE(SamePadConv);

class SamePadUpImpl : public torch::nn::Module {
 public:
  SamePadUpImpl(int64_t in, int64_t out, const Sizes& stride)
      : padding_(same_padding(Sizes(3, kernel), stride)) {
    conv_ = register_module(
        "convt",
        torch::nn::ConvTranspose3d(
            torch::nn::ConvTranspose3dOptions(in, out, kernel).stride(stride).padding(kernel - 1)));
  }
  at::Tensor forward(const at::Tensor& x) { return conv_->forward(replicate(x, padding_)); }

 private:
  static constexpr int64_t kernel = 4;
  Sizes padding_;
  torch::nn::ConvTranspose3d conv_{nullptr};
};
TORCH_MODULE(SamePadUp);

class ResBlockImpl : public torch::nn::Module {
 public:
  ResBlockImpl(int64_t channels, const Vqgan3dOptions& o) {
    norm1_ = register_module("norm1", Norm(channels, o));
    conv1_ = register_module("conv1", SamePadConv(channels, channels, 3));
    norm2_ = register_module("norm2", Norm(channels, o));
    conv2_ = register_module("conv2", SamePadConv(channels, channels, 3));
  }
  at::Tensor forward(const at::Tensor& x) {
    auto h = conv1_->forward(activate(norm1_->forward(x)));
    h = conv2_->forward(activate(norm2_->forward(h)));
    return h.add_(x);
  }

 private:
  Norm norm1_{nullptr}, norm2_{nullptr};
  SamePadConv conv1_{nullptr}, conv2_{nullptr};
};
TORCH_MODULE(ResBlock);

int64_t log2_of(int64_t factor) {
  int64_t times = 0;
  while ((int64_t{1} << (times + 1)) <= factor) ++times;
  return times;
}

/// The strides of each level: an axis is halved until its factor is used up.
std::vector<Sizes> level_strides(const Sizes& downsample) {
  std::vector<Sizes> levels;
  const int64_t count = log2_of(*std::max_element(downsample.begin(), downsample.end()));
  for (int64_t level = 0; level < count; ++level) {
    Sizes stride;
    for (int64_t factor : downsample) stride.push_back(log2_of(factor) > level ? 2 : 1);
    levels.push_back(stride);
  }
  return levels;
}

class DownLevelImpl : public torch::nn::Module {
 public:
  DownLevelImpl(int64_t in, const Sizes& stride, const Vqgan3dOptions& o) {
    down_ = register_module("down", SamePadConv(in, 2 * in, 4, stride));
    res_ = register_module("res", ResBlock(2 * in, o));
  }
  at::Tensor forward(const at::Tensor& x) { return res_->forward(down_->forward(x)); }

 private:
  SamePadConv down_{nullptr};
  ResBlock res_{nullptr};
};
TORCH_MODULE(DownLevel);

class UpLevelImpl : public torch::nn::Module {
 public:
  UpLevelImpl(int64_t in, int64_t out, const Sizes& stride, const Vqgan3dOptions& o) {
    up_ = register_module("up", SamePadUp(in, out, stride));
    res1_ = register_module("res1", ResBlock(out, o));
    res2_ = register_module("res2", ResBlock(out, o));
  }
  at::Tensor forward(const at::Tensor& x) {
    return res2_->forward(res1_->forward(up_->forward(x)));
  }

 private:
  SamePadUp up_{nullptr};
  ResBlock res1_{nullptr}, res2_{nullptr};
};
TORCH_MODULE(UpLevel);

class EncoderImpl : public torch::nn::Module {
 public:
  EncoderImpl(const Vqgan3dOptions& o) {
    first_ = register_module("conv_first", SamePadConv(o.channels, o.hidden_channels, 3));
    int64_t channels = o.hidden_channels;
    for (const auto& stride : level_strides(o.downsample)) {
      levels_->push_back(DownLevel(channels, stride, o));
      channels *= 2;
    }
    register_module("conv_blocks", levels_);
    norm_->push_back(Norm(channels, o));
    register_module("final_block", norm_);
  }
  at::Tensor forward(const at::Tensor& x) {
    auto h = first_->forward(x);
    for (const auto& level : *levels_) h = level->as<DownLevel>()->forward(h);
    return activate(norm_->forward(h));
  }

 private:
  SamePadConv first_{nullptr};
  torch::nn::ModuleList levels_;
  torch::nn::Sequential norm_;
};

class DecoderImpl : public torch::nn::Module {
 public:
  DecoderImpl(const Vqgan3dOptions& o) {
    const auto strides = level_strides(o.downsample);
    int64_t channels = o.hidden_channels << strides.size();
    norm_->push_back(Norm(channels, o));
    register_module("final_block", norm_);
    for (size_t i = 0; i < strides.size(); ++i) {
      const int64_t out = o.hidden_channels << (strides.size() - i);
      levels_->push_back(UpLevel(channels, out, strides[i], o));
      channels = out;
    }
    register_module("conv_blocks", levels_);
    last_ = register_module("conv_last", SamePadConv(channels, o.channels, 3));
  }
  at::Tensor forward(const at::Tensor& x) {
    auto h = activate(norm_->forward(x));
    for (const auto& level : *levels_) h = level->as<UpLevel>()->forward(h);
    return last_->forward(h);
  }

 private:
  torch::nn::Sequential norm_;
  torch::nn::ModuleList levels_;
  SamePadConv last_{nullptr};
};

}  // namespace vqgan3d

namespace {

void check_options(const Vqgan3dOptions& o) {
  bool fits = o.downsample.size() == 3;
  int64_t largest = 1;
  for (int64_t factor : o.downsample) {
    fits = fits && factor >= 1 && (factor & (factor - 1)) == 0;
    largest = std::max(largest, factor);
  }
  if (!fits || largest == 1) {
    throw Error(
        fmt::format("VQ-GAN: expected three powers of two, one of them above 1, as "
                    "downsample, found {}",
                    shape_text(o.downsample)));
  }
}

CodebookOptions codebook_options(const Vqgan3dOptions& o) {
  return {o.codes,     o.embedding_dim,  o.commitment_weight,
          o.ema_decay, o.random_restart, o.restart_threshold};
}

}  // namespace

Vqgan3dImpl::Vqgan3dImpl(Vqgan3dOptions options) : options_(std::move(options)) {
  check_options(options_);
  const int64_t inner = options_.hidden_channels
                        << vqgan3d::level_strides(options_.downsample).size();
  encoder_ = register_module("encoder", std::make_shared<vqgan3d::EncoderImpl>(options_));
  decoder_ = register_module("decoder", std::make_shared<vqgan3d::DecoderImpl>(options_));
  pre_vq_ = register_module(
      "pre_vq_conv", std::make_shared<vqgan3d::SamePadConvImpl>(inner, options_.embedding_dim, 1));
  post_vq_ = register_module(
      "post_vq_conv", std::make_shared<vqgan3d::SamePadConvImpl>(options_.embedding_dim, inner, 1));
  codebook_ = register_module("codebook", Codebook(codebook_options(options_)));
}

std::vector<int64_t> Vqgan3dImpl::latent_size(const std::vector<int64_t>& size_dhw) const {
  std::vector<int64_t> size;
  for (size_t axis = 0; axis < 3; ++axis) {
    require_multiple(size_dhw.at(axis), options_.downsample[axis],
                     fmt::format("VQ-GAN: size of the volume along {}", "DHW"[axis]));
    size.push_back(size_dhw[axis] / options_.downsample[axis]);
  }
  return size;
}

at::Tensor Vqgan3dImpl::encode(const at::Tensor& x) {
  require_shape(x, {-1, options_.channels, -1, -1, -1}, "VQ-GAN: volume (B, C, D, H, W)");
  latent_size({x.size(2), x.size(3), x.size(4)});
  return pre_vq_->forward(encoder_->forward(x));
}

Quantised Vqgan3dImpl::quantise(const at::Tensor& z, std::optional<at::Generator> generator) {
  return codebook_->forward(z, generator);
}

at::Tensor Vqgan3dImpl::decode(const at::Tensor& latent, bool quantise_first) {
  require_shape(latent, {-1, options_.embedding_dim, -1, -1, -1}, "VQ-GAN: latent (B, C, d, h, w)");
  auto z = quantise_first ? codebook_->nearest_codes(latent) : latent;
  return decoder_->forward(post_vq_->forward(z));
}

Vqgan3dOutput Vqgan3dImpl::forward(const at::Tensor& x, std::optional<at::Generator> generator) {
  Vqgan3dOutput output;
  output.z = encode(x);
  output.codes = quantise(output.z, generator);
  output.reconstruction = decode(output.codes.quantised);
  return output;
}

}  // namespace x2ctpa
