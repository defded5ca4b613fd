"""Low-rank updates (arXiv 2106.09685) as the published ddpm/lora.py stores them, merged."""

import numpy as np

from .tensors import Tensor, WeightsError, as_float32, shape_text

UP, DOWN = ".lora_up.weight", ".lora_down.weight"


def _merged(name, weight, up, down, selector, scale):
    """weight + scale * up selector down, summed in float64 and rounded once."""
    rank = down.shape[0] if down.shape else 0
    shapes = f"up {shape_text(up.shape)}, down {shape_text(down.shape)}"
    if len(up.shape) < 2 or len(down.shape) < 2 or up.shape[1] != rank:
        raise WeightsError(f"{name}: the low-rank weights do not fit each other: {shapes}")
    if (up.shape[0], *down.shape[1:]) != tuple(weight.shape):
        raise WeightsError(
            f"{name}: the low-rank weights ({shapes}) do not fit a weight of "
            f"{shape_text(weight.shape)}"
        )

    def read():
        left = as_float32(up).reshape(-1, rank).astype(np.float64)
        if selector is not None:
            left = left @ as_float32(selector).reshape(rank, rank).astype(np.float64)
        update = left @ as_float32(down).reshape(rank, -1).astype(np.float64)
        total = as_float32(weight).astype(np.float64) + scale * update.reshape(weight.shape)
        return total.astype(np.float32)

    return Tensor("F32", tuple(weight.shape), read)


def merge(tensors, scale):
    """(tensors with every injected layer replaced by a plain one, how many there were)."""
    bases = [name[: -len(UP)] for name in tensors if name.endswith(UP)]
    merged = dict(tensors)
    for base in bases:
        up, down = merged.pop(base + UP), merged.pop(base + DOWN, None)
        selector = merged.pop(base + ".selector.weight", None)
        inner = next((i for i in (".linear", ".conv") if f"{base}{i}.weight" in merged), None)
        if down is None or inner is None:
            raise WeightsError(f"{base}: a low-rank update without its other half or its layer")
        weight = merged.pop(f"{base}{inner}.weight")
        merged[base + ".weight"] = _merged(base, weight, up, down, selector, scale)
        bias = merged.pop(f"{base}{inner}.bias", None)
        if bias is not None:
            merged[base + ".bias"] = bias
    return merged, len(bases)


def _layers(tensors):
    """The weights of Unet3D that the published code gives an update, in its order.

    Those are the linear layers inside ResnetBlock and Attention, in the order of the state dict.
    """
    return [
        name
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2
        and name.endswith((".mlp.1.weight", ".fn.fn.fn.to_qkv.weight", ".fn.fn.fn.to_out.weight"))
    ]


def _pairs_of(content):
    """(up, down) pairs of a file of save_lora_weight (a list) or save_safeloras (names)."""
    if isinstance(content, dict):
        n = sum(name.startswith("unet:") and name.endswith(":up") for name in content)
        names = [[f"unet:{i}:{side}" for side in ("up", "down")] for i in range(n)]
        if not n or any(name not in content for pair in names for name in pair):
            raise WeightsError("the LoRA file holds no pairs unet:N:up and unet:N:down")
        return [tuple(content[name] for name in pair) for pair in names]
    if not isinstance(content, list) or len(content) % 2 or not content:
        raise WeightsError("the LoRA file holds no list of up and down weights")
    if not all(isinstance(item, Tensor) for item in content):
        raise WeightsError("the LoRA file's list holds something else than tensors")
    return list(zip(content[::2], content[1::2]))


def merge_file(tensors, content, scale):
    """(Unet3D's tensors with the updates of a LoRA file added, how many)."""
    pairs, names = _pairs_of(content), _layers(tensors)
    if len(pairs) != len(names):
        raise WeightsError(f"the LoRA file has {len(pairs)} updates, the model {len(names)} layers")
    merged = dict(tensors)
    for name, (up, down) in zip(names, pairs):
        merged[name] = _merged(name, tensors[name], up, down, None, scale)
    return merged, len(pairs)
