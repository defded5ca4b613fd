"""LPIPS: torchvision's VGG-16 and the published linear layers, from two files or one."""

import re

from .layout import Layout

NAME = "lpips"
# Channels and convolutions of VGG-16's blocks; a pooling lies between two blocks.
VGG_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def is_published(names):
    return "features.28.weight" in names or "lin0.model.1.weight" in names


def is_own(names):
    return "features.28.weight" in names and "lin0.model.1.weight" in names


def _aside(name):
    if name.startswith("classifier."):
        return "VGG-16's own classifier"
    if name.startswith("scaling_layer."):
        return "the constants of the scaling"
    if name.startswith("lins."):
        return "second names of the linear layers"
    return None


def select(tensors):
    kept, aside = {}, {}
    for name, tensor in tensors.items():
        what = _aside(name)
        if what:
            aside[what] = aside.get(what, 0) + 1
        else:  # the lpips package keeps VGG-16 in slices, under torchvision's numbers
            kept[re.sub(r"^net\.slice\d\.(\d+)\.", r"features.\1.", name)] = tensor
    return kept, aside


def options(tensors, given):
    return {}


def layout(o):
    all_of, width, index = Layout(), 3, 0
    for i, (channels, convolutions) in enumerate(VGG_BLOCKS):
        for _ in range(convolutions):
            name = f"features.{index}"
            all_of.layer(name, name, (channels, width, 3, 3), channels)
            width, index = channels, index + 2  # a ReLU follows each
        index += 1  # the pooling
        all_of.layer(f"lin{i}.model.1", f"lin{i}.model.1", (1, channels, 1, 1))
    return all_of


def published_content(tensors):
    return tensors, lambda flat: flat
