"""The two PatchGAN discriminators of the VQ-GAN, of slices and of volumes, as one model."""

from .layout import Layout, count, shape_of
from .vqgan import DISCRIMINATORS

NAME = "discriminators"
MOST = 512  # channels


def is_published(names):
    return False  # found as a part of a VQ-GAN's checkpoint


def is_own(names):
    return "image_discriminator.model0.0.weight" in names


def select(tensors):
    return {n: t for n, t in tensors.items() if n.startswith(DISCRIMINATORS)}, {}


def options(t, given):
    first = shape_of(t, "image_discriminator.model0.0.weight", 4)
    return {
        "channels": first[1],
        "hidden_channels": first[0],
        "layers": count(t, "image_discriminator.model{}.") - 2,
    }


def _discriminator(layout, name, o, axes):
    width_in, width = o["channels"], o["hidden_channels"]
    for i in range(o["layers"] + 2):
        last = i == o["layers"] + 1
        out = 1 if last else width
        place = f"{name}model{i}"
        layout.layer(place + ".0", place + ".0", (out, width_in) + (4,) * axes, out)
        if 0 < i and not last:
            layout.batch_norm(place + ".1", place + ".1", out)
        width_in, width = out, min(2 * out, MOST)


def layout(o):
    all_of = Layout()
    for name, axes in zip(DISCRIMINATORS, (2, 3)):
        _discriminator(all_of, name, o, axes)
    return all_of


def published_content(tensors):
    return tensors, lambda flat: {"state_dict": flat}
