"""AutoencoderKL in the layout of diffusers, or of the original latent diffusion code (LDM)."""

import re

from .layout import Layout, count, shape_of
from .tensors import WeightsError

NAME = "autoencoder_kl"
PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
# In a whole LDM checkpoint the autoencoder's names begin with this.
LDM_PREFIX = "first_stage_model."
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
LDM_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}


def is_published(names):
    return any(n.endswith("post_quant_conv.weight") for n in names) and not any(
        n.startswith("quant_conv_mu.") for n in names
    )


def is_own(names):
    return is_published(names)


def _is_ldm(names):
    return any(n.startswith(("encoder.down.", "decoder.up.")) for n in names)


def _diffusers_name(name, levels):
    """Diffusers' name for one of LDM's, which counts decoder levels from the finest."""
    side, dot, rest = name.partition(".")
    if side not in ("encoder", "decoder"):
        return name
    rest = re.sub(r"^down\.(\d+)\.block\.(\d+)\.", r"down_blocks.\1.resnets.\2.", rest)
    rest = re.sub(r"^down\.(\d+)\.downsample\.", r"down_blocks.\1.downsamplers.0.", rest)
    up = re.match(r"up\.(\d+)\.(block\.(\d+)|upsample)\.(.*)", rest)
    if up:
        place = f"resnets.{up[3]}" if up[3] else "upsamplers.0"
        rest = f"up_blocks.{levels - 1 - int(up[1])}.{place}.{up[4]}"
    middle = re.match(r"mid\.block_([12])\.(.*)", rest)
    if middle:
        rest = f"mid_block.resnets.{int(middle[1]) - 1}.{middle[2]}"
    attention = re.match(r"mid\.attn_1\.(\w+)\.(\w+)$", rest)
    if attention and attention[1] in LDM_ATTENTION:
        rest = f"mid_block.attentions.0.{LDM_ATTENTION[attention[1]]}.{attention[2]}"
    rest = rest.replace(".nin_shortcut.", ".conv_shortcut.")
    return side + dot + re.sub(r"^norm_out\.", "conv_norm_out.", rest)


def _modern(name, tensor):
    """Old diffusers names of the attention, and its weights as linear layers."""
    head, _, tail = name.rpartition(".attentions.0.")
    if not head:
        return name, tensor
    layer, _, what = tail.rpartition(".")
    name = f"{head}.attentions.0.{OLD_ATTENTION.get(layer, layer)}.{what}"
    if what == "weight" and len(tensor.shape) == 4 and tensor.shape[2:] == (1, 1):
        tensor = tensor.reshaped(tensor.shape[:2])
    return name, tensor


def select(tensors):
    prefix = LDM_PREFIX if any(n.startswith(LDM_PREFIX) for n in tensors) else ""
    levels = count(tensors, prefix + "encoder.down.{}.")
    kept, aside = {}, {}
    for name, tensor in tensors.items():
        short = name[len(prefix) :] if name.startswith(prefix) else name
        what = None
        if prefix and not name.startswith(prefix):
            what = "the rest of the latent diffusion model"
        elif short.startswith("loss."):
            what = "the training loss's networks"
        elif short.startswith("model_ema."):
            what = "moving averages"
        if what:
            aside[what] = aside.get(what, 0) + 1
            continue
        if _is_ldm([short]) or levels:
            short = _diffusers_name(short, levels)
        short, tensor = _modern(short, tensor)
        kept[short] = tensor
    return kept, aside


def hyperparameters(config):
    """Options from diffusers' config.json."""
    for name, expected in (
        ("act_fn", "silu"),
        ("mid_block_add_attention", True),
        ("use_quant_conv", True),
        ("use_post_quant_conv", True),
    ):
        if config.get(name, expected) != expected:
            raise WeightsError(f"config.json: expected {name} {expected}, found {config[name]}")
    return {n: config[n] for n in ("norm_num_groups", "scaling_factor") if n in config}


def options(t, given):
    levels = count(t, "encoder.down_blocks.{}.")
    widths = [
        shape_of(t, f"encoder.down_blocks.{i}.resnets.0.conv1.weight", 4)[0] for i in range(levels)
    ]
    return {
        "in_channels": shape_of(t, "encoder.conv_in.weight", 4)[1],
        "out_channels": shape_of(t, "decoder.conv_out.weight", 4)[0],
        "block_out_channels": widths,
        "layers_per_block": count(t, "encoder.down_blocks.0.resnets.{}."),
        "latent_channels": shape_of(t, "post_quant_conv.weight", 4)[0],
        "norm_num_groups": given.get("norm_num_groups", 32),
        "scaling_factor": given.get("scaling_factor", 0.18215),
    }


def _conv(layout, name, out, width, kernel=3):
    layout.layer(name, name, (out, width, kernel, kernel), out)


def _resnet(layout, name, width_in, width):
    layout.affine(name + ".norm1", name + ".norm1", width_in)
    _conv(layout, name + ".conv1", width, width_in)
    layout.affine(name + ".norm2", name + ".norm2", width)
    _conv(layout, name + ".conv2", width, width)
    if width_in != width:
        _conv(layout, name + ".conv_shortcut", width, width_in, 1)


def _middle(layout, name, width):
    for i in range(2):
        _resnet(layout, f"{name}.resnets.{i}", width, width)
    attention = name + ".attentions.0"
    layout.affine(attention + ".group_norm", attention + ".group_norm", width)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        place = f"{attention}.{part}"
        layout.layer(place, place, (width, width), width)


def _side(layout, side, widths, layers, blocks, sampler):
    """The levels of the encoder or decoder, in the order in which they run."""
    width = widths[0]
    for i, out in enumerate(widths):
        place = f"{side}.{blocks}.{i}"
        for j in range(layers):
            _resnet(layout, f"{place}.resnets.{j}", width, out)
            width = out
        if i + 1 < len(widths):
            _conv(layout, f"{place}.{sampler}.0.conv", out, out)


def layout(o):
    all_of, widths, latent = Layout(), o["block_out_channels"], o["latent_channels"]
    _conv(all_of, "encoder.conv_in", widths[0], o["in_channels"])
    _side(all_of, "encoder", widths, o["layers_per_block"], "down_blocks", "downsamplers")
    _middle(all_of, "encoder.mid_block", widths[-1])
    all_of.affine("encoder.conv_norm_out", "encoder.conv_norm_out", widths[-1])
    _conv(all_of, "encoder.conv_out", 2 * latent, widths[-1])
    _conv(all_of, "quant_conv", 2 * latent, 2 * latent, 1)
    _conv(all_of, "post_quant_conv", latent, latent, 1)
    _conv(all_of, "decoder.conv_in", widths[-1], latent)
    _middle(all_of, "decoder.mid_block", widths[-1])
    up = widths[::-1]
    _side(all_of, "decoder", up, o["layers_per_block"] + 1, "up_blocks", "upsamplers")
    all_of.affine("decoder.conv_norm_out", "decoder.conv_norm_out", widths[0])
    _conv(all_of, "decoder.conv_out", o["out_channels"], widths[0])
    return all_of


def published_content(tensors):
    return tensors, lambda flat: flat
