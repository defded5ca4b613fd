// Names and shapes of the published Python checkpoints (NoaCahan/X-ray2CTPA) -> those of our
// modules. Input: the tensors of a state dict; output: what load_tensors() takes.
#pragma once

#include "x2ctpa/core/safetensors.h"

namespace x2ctpa {

/// Unet3D, with or without the prefix "denoise_fn."; the schedule's tensors are left out.
TensorMap unet3d_from_published(const TensorMap& published);

/// VQGAN; the discriminators and the perceptual network are left out. The codebook counts as
/// initialised.
TensorMap vqgan3d_from_published(const TensorMap& published);

/// DenseNet, with or without the prefix "module.base_model.".
TensorMap densenet3d_from_published(const TensorMap& published);

}  // namespace x2ctpa
