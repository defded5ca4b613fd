"""The image towers of BiomedCLIP (open_clip with a timm ViT) and of CLIP (transformers), and the
DINOv2 of RAD-DINO (transformers)."""

import math

from .layout import Layout, count, shape_of
from .tensors import WeightsError

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
# What the published code standardises chest X-rays with before BiomedCLIP.
XRAY_MEAN, XRAY_STD = [0.633, 0.633, 0.633], [0.181, 0.181, 0.181]
# RAD-DINO's, where no preprocessor_config.json lies beside its weights.
RAD_DINO_MEAN, RAD_DINO_STD = [0.5307, 0.5307, 0.5307], [0.2583, 0.2583, 0.2583]


def _count_aside(tensors, wanted, what):
    kept, aside = {}, {}
    for name, tensor in tensors.items():
        if wanted(name):
            kept[name] = tensor
        else:
            aside[what] = aside.get(what, 0) + 1
    return kept, aside


def _heads(width, given):
    """ViTs have 64 channels per head from tiny (192) on; below, the tensors cannot tell."""
    if "heads" in given:
        return given["heads"]
    if width % 64 or width < 192:
        raise WeightsError(f"a width of {width} does not say how many heads; give --option heads=N")
    return width // 64


def _options(kind, t, given, patch, positions, blocks, fc1, output_dim):
    width, channels, size = shape_of(t, patch, 4)[:3]
    side = math.isqrt(positions - 1)
    if channels != 3 or side * side != positions - 1:
        raise WeightsError(
            f"expected three channels and a square of patches, found {channels} channels and "
            f"{positions - 1} patches"
        )
    found = {
        "layout": kind,
        "image_size": side * size,
        "patch_size": size,
        "width": width,
        "depth": count(t, blocks),
        "heads": _heads(width, given),
        "mlp_width": shape_of(t, fc1, 2)[0],
        "output_dim": output_dim,
        "mean": given.get("mean", XRAY_MEAN),
        "std": given.get("std", XRAY_STD),
        "positions_side": 0,
    }
    if kind == "dinov2" and given.get("image_size", side * size) != side * size:
        found |= {"image_size": given["image_size"], "positions_side": side}
    return found


class BiomedClip:
    NAME = "biomedclip_vit"

    @staticmethod
    def is_published(names):
        return "visual.trunk.cls_token" in names

    @staticmethod
    def is_own(names):
        return "trunk.cls_token" in names

    @staticmethod
    def select(tensors):
        what = "the text tower and the scale of similarities"
        if not any(n.startswith("visual.") for n in tensors):
            return dict(tensors), {}
        kept, aside = _count_aside(tensors, lambda n: n.startswith("visual."), what)
        return {n[len("visual.") :]: t for n, t in kept.items()}, aside

    @staticmethod
    def options(t, given):
        positions = shape_of(t, "trunk.pos_embed", 3)[1]
        output = shape_of(t, "head.proj.weight", 2)[0] if "head.proj.weight" in t else 0
        fc1 = "trunk.blocks.0.mlp.fc1.weight"
        patch = "trunk.patch_embed.proj.weight"
        return _options("timm", t, given, patch, positions, "trunk.blocks.{}.", fc1, output)

    @staticmethod
    def layout(o):
        all_of, width = Layout(), o["width"]
        patches = (o["image_size"] // o["patch_size"]) ** 2
        all_of.add("trunk.cls_token", "trunk.cls_token", (1, 1, width))
        all_of.add("trunk.pos_embed", "trunk.pos_embed", (1, patches + 1, width))
        patch = "trunk.patch_embed.proj"
        all_of.layer(patch, patch, (width, 3, o["patch_size"], o["patch_size"]), width)
        for i in range(o["depth"]):
            block = f"trunk.blocks.{i}."
            for norm in ("norm1", "norm2"):
                all_of.affine(block + norm, block + norm, width)
            for name, out, into in (
                ("attn.qkv", 3 * width, width),
                ("attn.proj", width, width),
                ("mlp.fc1", o["mlp_width"], width),
                ("mlp.fc2", width, o["mlp_width"]),
            ):
                all_of.layer(block + name, block + name, (out, into), out)
        all_of.affine("trunk.norm", "trunk.norm", width)
        if o["output_dim"]:
            all_of.layer("head.proj", "head.proj", (o["output_dim"], width))
        return all_of

    @staticmethod
    def published_content(tensors):
        return {"visual." + n: t for n, t in tensors.items()}, lambda flat: flat


class ClipVision:
    NAME = "clip_vision"
    PREFIX = "vision_model."

    @staticmethod
    def is_published(names):
        return any(n.endswith("embeddings.class_embedding") for n in names)

    @staticmethod
    def is_own(names):
        return "vision_model.embeddings.class_embedding" in names

    @staticmethod
    def select(tensors):
        """Older transformers write the prefix, newer ones and files of the tower alone may not."""
        prefix, aside = ClipVision.PREFIX, {}
        if any(n.startswith(prefix) for n in tensors):
            what = "the text tower, projections and the scale of similarities"
            tensors, aside = _count_aside(tensors, lambda n: n.startswith(prefix), what)
            tensors = {n[len(prefix) :]: t for n, t in tensors.items()}
        kept = {n: t for n, t in tensors.items() if n != "embeddings.position_ids"}
        if len(kept) < len(tensors):
            aside["the numbers of the positions"] = 1
        return kept, aside

    @staticmethod
    def hyperparameters(config):
        config = config.get("vision_config", config)
        for name, expected in (("hidden_act", "quick_gelu"), ("layer_norm_eps", 1e-5)):
            if config.get(name, expected) != expected:
                raise WeightsError(f"config.json: expected {name} {expected}, found {config[name]}")
        found = {"mean": CLIP_MEAN, "std": CLIP_STD}
        if "num_attention_heads" in config:
            found["heads"] = config["num_attention_heads"]
        return found

    @staticmethod
    def options(t, given):
        given = {"mean": CLIP_MEAN, "std": CLIP_STD} | given
        positions = shape_of(t, "embeddings.position_embedding.weight", 2)[0]
        fc1 = "encoder.layers.0.mlp.fc1.weight"
        patch = "embeddings.patch_embedding.weight"
        return _options("clip", t, given, patch, positions, "encoder.layers.{}.", fc1, 0)

    @staticmethod
    def layout(o):
        all_of, width, prefix = Layout(), o["width"], ClipVision.PREFIX
        patches = (o["image_size"] // o["patch_size"]) ** 2
        size = o["patch_size"]
        for name, shape in (
            ("embeddings.class_embedding", (width,)),
            ("embeddings.patch_embedding.weight", (width, 3, size, size)),
            ("embeddings.position_embedding.weight", (patches + 1, width)),
        ):
            all_of.add(prefix + name, name, shape)
        for norm in ("pre_layrnorm", "post_layernorm"):  # the published spelling
            all_of.affine(prefix + norm, norm, width)
        for i in range(o["depth"]):
            block = f"encoder.layers.{i}."
            for norm in ("layer_norm1", "layer_norm2"):
                all_of.affine(prefix + block + norm, block + norm, width)
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                place = block + "self_attn." + name
                all_of.layer(prefix + place, place, (width, width), width)
            for name, out, into in (("fc1", o["mlp_width"], width), ("fc2", width, o["mlp_width"])):
                place = block + "mlp." + name
                all_of.layer(prefix + place, place, (out, into), out)
        return all_of

    @staticmethod
    def published_content(tensors):
        return {ClipVision.PREFIX + n: t for n, t in tensors.items()}, lambda flat: flat


class Dinov2:
    NAME = "dinov2"
    PREFIX = "dinov2."
    # As newer transformers call them, and as the published files do.
    ATTENTION = {
        "q_proj": "attention.query",
        "k_proj": "attention.key",
        "v_proj": "attention.value",
        "o_proj": "output.dense",
    }

    @staticmethod
    def is_published(names):
        return any(n.endswith("encoder.layer.0.layer_scale1.lambda1") for n in names)

    @staticmethod
    def is_own(names):
        return "encoder.layer.0.layer_scale1.lambda1" in names

    @staticmethod
    def select(tensors):
        prefix, aside = Dinov2.PREFIX, {}
        if any(n.startswith(prefix) for n in tensors):
            tensors, aside = _count_aside(tensors, lambda n: n.startswith(prefix), "the classifier")
            tensors = {n[len(prefix) :]: t for n, t in tensors.items()}
        kept = {n: t for n, t in tensors.items() if n != "embeddings.mask_token"}
        if len(kept) < len(tensors):
            aside["the token of hidden patches, which only its own training needs"] = 1
        return {Dinov2._published_name(n): t for n, t in kept.items()}, aside

    @staticmethod
    def _published_name(name):
        for new, old in Dinov2.ATTENTION.items():
            name = name.replace(f".attention.{new}.", f".attention.{old}.")
        return name

    @staticmethod
    def hyperparameters(config):
        for name, expected in (
            ("hidden_act", "gelu"),
            ("layer_norm_eps", 1e-6),
            ("qkv_bias", True),
            ("use_swiglu_ffn", False),
        ):
            if config.get(name, expected) != expected:
                raise WeightsError(f"config.json: expected {name} {expected}, found {config[name]}")
        found = {}
        for ours, name in (("mean", "image_mean"), ("std", "image_std")):
            if name in config:
                found[ours] = config[name]
        if "num_attention_heads" in config:
            found["heads"] = config["num_attention_heads"]
        return found

    @staticmethod
    def options(t, given):
        given = {"mean": RAD_DINO_MEAN, "std": RAD_DINO_STD} | given
        positions = shape_of(t, "embeddings.position_embeddings", 3)[1]
        fc1 = "encoder.layer.0.mlp.fc1.weight"
        patch = "embeddings.patch_embeddings.projection.weight"
        return _options("dinov2", t, given, patch, positions, "encoder.layer.{}.", fc1, 0)

    @staticmethod
    def layout(o):
        all_of, width, size = Layout(), o["width"], o["patch_size"]
        side = o.get("positions_side") or o["image_size"] // size
        all_of.add("embeddings.cls_token", "embeddings.cls_token", (1, 1, width))
        positions = "embeddings.position_embeddings"
        all_of.add(positions, positions, (1, side**2 + 1, width))
        patch = "embeddings.patch_embeddings.projection"
        all_of.layer(patch, patch, (width, 3, size, size), width)
        for i in range(o["depth"]):
            block = f"encoder.layer.{i}."
            for norm in ("norm1", "norm2"):
                all_of.affine(block + norm, block + norm, width)
            for name in Dinov2.ATTENTION.values():
                place = f"{block}attention.{name}"
                all_of.layer(place, place, (width, width), width)
            for name, out, into in (("fc1", o["mlp_width"], width), ("fc2", width, o["mlp_width"])):
                place = block + "mlp." + name
                all_of.layer(place, place, (out, into), out)
            for name in ("layer_scale1.lambda1", "layer_scale2.lambda1"):
                all_of.add(block + name, block + name, (width,))
        all_of.affine("layernorm", "layernorm", width)
        return all_of

    @staticmethod
    def published_content(tensors):
        return tensors, lambda flat: flat
