"""The 3D VQ-GAN of X-ray2CTPA, a Lightning checkpoint, and its two discriminators."""

import numpy as np

from .layout import Layout, count, shape_of
from .tensors import WeightsError

NAME = "vqgan"
OWN_PARTS = ("encoder.", "decoder.", "codebook.", "pre_vq_conv.", "post_vq_conv.")
DISCRIMINATORS = ("image_discriminator.", "video_discriminator.")


def is_published(names):
    return {"codebook.embeddings", "pre_vq_conv.conv.weight"} <= set(names) and (
        "codebook.initialised" not in names
    )


def is_own(names):
    return {"codebook.embeddings", "codebook.initialised"} <= set(names)


def select(tensors):
    kept, aside = {}, {}
    for name, tensor in tensors.items():
        if name.startswith(DISCRIMINATORS):
            continue  # a model of their own, in the sub-folder `discriminators`
        if name.startswith("perceptual_model."):
            what = "the perceptual network (convert as lpips with --prefix perceptual_model.)"
            aside[what] = aside.get(what, 0) + 1
        else:
            kept[name] = tensor
    return kept, aside


def hyperparameters(settings):
    """Options from the checkpoint's hyper_parameters, as far as they are there."""
    for section in ("cfg", "model"):
        if isinstance(settings, dict) and isinstance(settings.get(section), dict):
            settings = settings[section]
    if not isinstance(settings, dict):
        return {}
    if settings.get("padding_type", "replicate") != "replicate":
        raise WeightsError(f"padding_type {settings['padding_type']}: x2ctpa has replicate alone")
    found = {}
    downsample = settings.get("downsample")
    if isinstance(downsample, list) and all(type(n) is int for n in downsample):
        found["downsample"] = downsample
    if type(settings.get("num_groups")) is int:
        found["groups"] = settings["num_groups"]
    if isinstance(settings.get("restart_thres"), (int, float)):
        found["restart_threshold"] = settings["restart_thres"]
    if isinstance(settings.get("no_random_restart"), bool):
        found["random_restart"] = not settings["no_random_restart"]
    return found


def options(t, given):
    first = shape_of(t, "encoder.conv_first.conv.weight", 5)
    codes = shape_of(t, "codebook.embeddings", 2)
    batch_norm = "encoder.final_block.0.running_mean" in t
    for name in ("downsample",) if batch_norm else ("downsample", "groups"):
        if name not in given:
            raise WeightsError(
                f"the file does not say the option {name}, and its tensors cannot; give "
                f"--option {name}=..."
            )
    factors, levels = given["downsample"], count(t, "encoder.conv_blocks.{}.")
    if len(factors) != 3 or max(factors) != 2**levels or any(n & (n - 1) or n < 1 for n in factors):
        raise WeightsError(f"downsample {factors} does not fit the {levels} levels of the tensors")
    return {
        "channels": first[1],
        "hidden_channels": first[0],
        "embedding_dim": codes[1],
        "codes": codes[0],
        "downsample": factors,
        "norm": "batch" if batch_norm else "group",
        "groups": given.get("groups", 32),
        "commitment_weight": given.get("commitment_weight", 0.25),
        "ema_decay": given.get("ema_decay", 0.99),
        "random_restart": given.get("random_restart", True),
        "restart_threshold": given.get("restart_threshold", 1.0),
    }


def _conv(layout, name, out, width, kernel):
    place = name + ".conv"
    layout.layer(place, place, (out, width, kernel, kernel, kernel), out)


def _norm(layout, o, name, width):
    add = layout.batch_norm if o.get("norm") == "batch" else layout.affine
    add(name, name, width)


def _res_block(layout, o, name, width):
    for i in ("1", "2"):
        _norm(layout, o, f"{name}.norm{i}", width)
        _conv(layout, f"{name}.conv{i}", width, width, 3)


def layout(o):
    """The names are those of the published code; only the codebook's flag is ours."""
    all_of, first = Layout(), o["hidden_channels"]
    levels = max(o["downsample"]).bit_length() - 1
    inner = first * 2**levels
    _conv(all_of, "encoder.conv_first", first, o["channels"], 3)
    for i in range(levels):
        width = first * 2**i
        _conv(all_of, f"encoder.conv_blocks.{i}.down", 2 * width, width, 4)
        _res_block(all_of, o, f"encoder.conv_blocks.{i}.res", 2 * width)
    for side in ("encoder", "decoder"):
        _norm(all_of, o, side + ".final_block.0", inner)
    width = inner
    for i in range(levels):
        out, place = first * 2 ** (levels - i), f"decoder.conv_blocks.{i}"
        all_of.layer(place + ".up.convt", place + ".up.convt", (width, out, 4, 4, 4), out)
        _res_block(all_of, o, place + ".res1", out)
        _res_block(all_of, o, place + ".res2", out)
        width = out
    _conv(all_of, "decoder.conv_last", o["channels"], width, 3)
    _conv(all_of, "pre_vq_conv", o["embedding_dim"], inner, 1)
    _conv(all_of, "post_vq_conv", inner, o["embedding_dim"], 1)
    for name in ("embeddings", "z_avg"):
        all_of.add(f"codebook.{name}", f"codebook.{name}", (o["codes"], o["embedding_dim"]))
    all_of.add("codebook.N", "codebook.N", (o["codes"],))
    all_of.constant("codebook.initialised", np.ones(1, np.uint8))
    return all_of


def published_content(tensors):
    """As Lightning saves it; the published code loads the state dict with strict=False."""
    return tensors, lambda flat: {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "2.0.0",
        "state_dict": flat,
    }
