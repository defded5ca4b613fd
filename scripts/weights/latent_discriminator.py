"""The PatchGAN discriminator of latents: MONAI's PatchDiscriminator in three dimensions."""

from .layout import Layout, count, shape_of

NAME = "latent_discriminator"


def is_published(names):
    return {"initial_conv.conv.weight", "final_conv.conv.weight"} <= set(names)


is_own = is_published


def select(tensors):
    return dict(tensors), {}


def options(t, given):
    first = shape_of(t, "initial_conv.conv.weight", 5)
    return {
        "channels": first[1],
        "hidden_channels": first[0],
        "layers": count(t, "{}.conv."),
        "kernel": first[2],
    }


def layout(o):
    all_of, width, kernel = Layout(), o["hidden_channels"], (o["kernel"],) * 3
    first, last = "initial_conv.conv", "final_conv.conv"
    all_of.layer(first, first, (width, o["channels"], *kernel), width)
    for i in range(o["layers"]):
        all_of.layer(f"{i}.conv", f"{i}.conv", (2 * width, width, *kernel))
        all_of.batch_norm(f"{i}.adn.N", f"{i}.adn.N", 2 * width)
        width *= 2
    all_of.layer(last, last, (1, width, *kernel), 1)
    return all_of


def published_content(tensors):
    return tensors, lambda flat: flat
