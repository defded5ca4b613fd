"""A whole generator, as X-ray2CTPA's trainer saves it: U-Net, autoencoder, X-ray encoder.

Ours is a model folder that `x2ctpa sample` takes: the denoiser, its options and those of the data
beside it, the other two networks in sub-folders.
"""

import os

from . import autoencoder_kl, model_folder, unet3d, vqgan
from .layout import without_prefix
from .tensors import WeightsError, as_float32
from .vision import BiomedClip, ClipVision

NAME = "generator"
PARTS = {"autoencoder": ("vae.", "vqgan."), "cxr_encoder": ("xray_encoder.",)}
KINDS = {"autoencoder": (autoencoder_kl, vqgan), "cxr_encoder": (BiomedClip, ClipVision)}
# The range of Stable Diffusion's latents over the training sets of the paper
# (config/model/ddpm.yaml and the constructor of its GaussianDiffusion).
LATENT_RANGES = {"ctpa": (-12.911299, 9.596558), "rspect": (-8.749182, 8.710065)}


SIDES = ("dataset.yaml", "diffusion.yaml", "latent.yaml")


def own_options(options, kind):
    """Our options of one model in a file of ours; a generator's file has those of all."""
    return options.get(kind.NAME, {}) if "sides" in options else options


def read_sides(folder):
    return {name: model_folder.read_options(os.path.join(folder, name)) for name in SIDES}


def is_own(folder):
    return all(os.path.isdir(os.path.join(folder, part)) for part in PARTS)


def part_tensors(tensors, part):
    """(tensors of a part without its prefix, the prefix), or nothing where the file lacks it."""
    for prefix in PARTS[part]:
        found = without_prefix(tensors, prefix)
        if found:
            return found, prefix
    return {}, ""


def kind_of(part, names, own=False):
    for kind in KINDS[part]:
        if (kind.is_own if own else kind.is_published)(names):
            return kind
    known = " or ".join(kind.NAME for kind in KINDS[part])
    raise WeightsError(f"the {part} is no {known}")


def denoiser_options(unet, width):
    """(options of the denoiser, whether a label is joined to the embedding of `width`)."""
    label = unet["cond_dim"] - width
    if label not in (0, 1) or (label and unet["cond_tokens"]):
        raise WeightsError(
            f"the U-Net takes a condition of {unet['cond_dim']} channels, "
            f"but the X-ray encoder gives {width}"
        )
    return {
        "cxr_encoder": "frozen",
        "spatial_condition": False,
        "label_guidance": bool(label),
        "encoder": {"embedding_dim": width},
        "unet": unet,
    }


def embedding_width(encoder):
    return encoder["output_dim"] or encoder["width"]


def factors(kind, options):
    if kind is vqgan:
        return options["downsample"]
    factor = 2 ** (len(options["block_out_channels"]) - 1)
    return [1, factor, factor]


def latent_range(kind, tensors, given, name):
    """The smallest and largest latent that became -1 and 1 in training."""
    if given:
        return given
    if kind is vqgan:
        codes = as_float32(tensors["codebook.embeddings"])
        return float(codes.min()), float(codes.max())
    return LATENT_RANGES[name]


def side_files(args, kind, options, tensors, encoder):
    """What the data were, under the names that the program reads."""
    low, high = latent_range(kind, tensors, args.latent_range, args.data)
    if not low < high:
        raise WeightsError(f"--latent-range: expected LOW < HIGH, found {low} and {high}")
    sizes = [size // factor for size, factor in zip(args.grid, factors(kind, options))]
    if any(size % factor for size, factor in zip(args.grid, factors(kind, options))):
        raise WeightsError(
            f"--grid {args.grid}: expected multiples of the autoencoder's factors "
            f"{factors(kind, options)} (depth, height, width)"
        )
    channels = options["latent_channels" if kind is autoencoder_kl else "embedding_dim"]
    depth, height, width = args.grid
    x, y, z = args.field_of_view_mm
    return {
        "dataset.yaml": {
            "grid_depth": depth,
            "grid_height": height,
            "grid_width": width,
            "typical_spacing_x_mm": x / width,
            "typical_spacing_y_mm": y / height,
            "typical_spacing_z_mm": z / depth,
            "window_min_hu": args.window[0],
            "window_max_hu": args.window[1],
            "cxr_size": encoder["image_size"],
            "cxr_mean": encoder["mean"][0],
            "cxr_std": encoder["std"][0],
            "hash": "published",
        },
        "diffusion.yaml": {
            "schedule": {"kind": "cosine", "timesteps": 1000},
            "prediction": "noise",
            "x0_limit": 1,
            "quantise_latents": kind is vqgan,
        },
        "latent.yaml": {
            "size": sizes,
            "mean": [(low + high) / 2] * channels,
            "std": [(high - low) / 2] * channels,
        },
    }


def write(folder, parts, sides):
    """`parts`: (options, tensors) by sub-folder; "", the denoiser, is written last."""
    for name, (options, tensors) in sorted(parts.items(), reverse=True):
        if name == "":
            for file, content in sides.items():
                model_folder.write_options(os.path.join(folder, file), content)
        model_folder.write(os.path.join(folder, name), options, tensors)


def with_unet_prefix(tensors):
    return {"unet." + name: tensor for name, tensor in tensors.items()}


def unet_of(folder):
    """(options, tensors) of the U-Net in one of our generator folders."""
    options, tensors = model_folder.read(folder)
    if options.get("cxr_encoder") != "frozen" or options.get("spatial_condition"):
        raise WeightsError(
            f"{folder}: a denoiser with an X-ray encoder of its own has no published layout"
        )
    return options["unet"], without_prefix(tensors, "unet.")


def published_name(kind, name):
    return {unet3d: unet3d.PREFIX, autoencoder_kl: "vae.", vqgan: "vqgan."}.get(
        kind, "xray_encoder."
    ) + name
