"""MAISI's 3D autoencoder: MONAI's AutoencoderKlMaisi, as NV-Generate-CT publishes it."""

from .layout import Layout, count, shape_of
from .tensors import WeightsError

NAME = "autoencoder_maisi"
VOLUMES = "maisi"
# A convolution of the published class lies within two others.
CONV, RESAMPLER = ".conv.conv", ".conv.conv.conv"


def is_published(names):
    return "quant_conv_mu.conv.weight" in names and "decoder.blocks.0.conv.conv.weight" in names


def is_own(names):
    return "quant_conv_mu.weight" in names


def select(tensors):
    return dict(tensors), {}


def _widths(t, blocks):
    """(channels, residual blocks) of each level of the encoder."""
    widths, numbers = [], [0]
    for i in range(1, blocks - 2):
        block = f"encoder.blocks.{i}"
        if block + RESAMPLER + ".weight" in t:
            numbers.append(0)
            continue
        if numbers[-1] == 0:
            widths.append(shape_of(t, f"{block}.conv1{CONV}.weight", 5)[0])
        numbers[-1] += 1
    if len(widths) != len(numbers):
        raise WeightsError("the encoder has a level without residual blocks")
    return widths, numbers


def options(t, given):
    widths, numbers = _widths(t, count(t, "encoder.blocks.{}."))
    return {
        "num_channels": widths,
        "num_res_blocks": numbers,
        "latent_channels": shape_of(t, "post_quant_conv.conv.weight", 5)[0],
        "norm_num_groups": given.get("norm_num_groups", 32),
    }


def _conv(layout, own, published, out, width, kernel=3):
    layout.layer(own, published, (out, width, kernel, kernel, kernel), out)


def _res_block(layout, name, width, out):
    layout.affine(name + ".norm1", name + ".norm1", width)
    _conv(layout, name + ".conv1", name + ".conv1" + CONV, out, width)
    layout.affine(name + ".norm2", name + ".norm2", out)
    _conv(layout, name + ".conv2", name + ".conv2" + CONV, out, out)
    if width != out:
        _conv(layout, name + ".nin_shortcut", name + ".nin_shortcut" + CONV, out, width, 1)


def _side(layout, side, first, widths, numbers, last):
    """The blocks of the encoder or decoder, numbered in the order in which they run."""
    places = (f"{side}.blocks.{i}" for i in range(10**6))
    place, width = next(places), widths[0]
    _conv(layout, place, place + CONV, width, first)
    for level, out in enumerate(widths):
        if level:
            place = next(places)
            _conv(layout, place, place + RESAMPLER, width, width)
        for _ in range(numbers[level]):
            _res_block(layout, next(places), width, out)
            width = out
    place = next(places)
    layout.affine(place, place, width)
    place = next(places)
    _conv(layout, place, place + CONV, last, width)


def layout(o):
    all_of, latent = Layout(), o["latent_channels"]
    widths, numbers = o["num_channels"], o["num_res_blocks"]
    _side(all_of, "encoder", 1, widths, numbers, latent)
    _side(all_of, "decoder", latent, widths[::-1], numbers[::-1], 1)
    for name in ("quant_conv_mu", "quant_conv_log_sigma", "post_quant_conv"):
        _conv(all_of, name, name + ".conv", latent, latent, 1)
    return all_of


def published_content(tensors):
    return tensors, lambda flat: flat
