"""Unet3D of X-ray2CTPA, inside its GaussianDiffusion (names under "denoise_fn.") or alone."""

from .layout import Layout, count, shape_of
from .tensors import WeightsError

NAME = "unet3d"
PREFIX = "denoise_fn."
HEAD_DIM = 32

# What else a checkpoint of the published trainer holds: the beginning of the names, and what it is.
REST = {
    "vae.": "the image autoencoder (convert with --prefix vae.)",
    "vqgan.": "the VQ-GAN (convert with --prefix vqgan.)",
    "xray_encoder.": "the X-ray encoder (convert with --prefix xray_encoder.)",
    "classifier.": "the classifier (convert with --prefix classifier.)",
    "netD.": "the discriminator of latents (convert with --prefix netD.)",
    "perceptual_model.": "the perceptual network",
    "text_encoder.": "the text encoder",
}
SCHEDULE = {
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
}


def is_published(names):
    return any(n.endswith("time_rel_pos_bias.relative_attention_bias.weight") for n in names)


def is_own(names):
    return {"position_bias.weight", "time1.weight", "rotary_frequencies"} <= set(names)


def select(tensors):
    """(the U-Net's tensors without prefix, how many of what was left out)."""
    if not any(n.startswith(PREFIX) for n in tensors):
        return dict(tensors), {}
    kept, aside = {}, {}
    for name, tensor in tensors.items():
        start = next((s for s in REST if name.startswith(s)), None)
        if name.startswith(PREFIX):
            kept[name[len(PREFIX) :]] = tensor
        elif start is not None:
            aside[REST[start]] = aside.get(REST[start], 0) + 1
        elif name in SCHEDULE:
            aside["the noise schedule"] = aside.get("the noise schedule", 0) + 1
        else:
            kept[name] = tensor  # to be reported as unexpected
    return kept, aside


def _tokens(t, cond_dim):
    """How many tokens of a vision transformer the condition is made of; 0: it is a vector."""
    if "fc_cond.weight" not in t:
        return 0
    out, features = shape_of(t, "fc_cond.weight", 2)
    if out != cond_dim or features % cond_dim:
        raise WeightsError(
            f"fc_cond maps {features} features to {out}; "
            f"expected tokens of {cond_dim} channels, to {cond_dim}"
        )
    return features // cond_dim


def options(t, given):
    first = shape_of(t, "init_conv.weight", 5)
    time_dim, dim = shape_of(t, "time_mlp.1.weight", 2)
    if first[0] != dim or time_dim != 4 * dim:
        raise WeightsError(
            f"a Unet3D whose init_dim ({first[0]}) is not its dim ({dim}); x2ctpa has no such model"
        )
    levels = count(t, "downs.{}.")
    widths = [shape_of(t, f"downs.{i}.0.block1.proj.weight", 5)[0] for i in range(levels)]
    if not widths or any(width % dim for width in widths):
        raise WeightsError(f"levels of {widths} channels are not multiples of dim {dim}")
    cond_dim = shape_of(t, "downs.0.0.mlp.1.weight", 2)[1] - time_dim
    return {
        "in_channels": first[1],
        "out_channels": shape_of(t, "final_conv.1.weight", 5)[0],
        "dim": dim,
        "dim_mults": [width // dim for width in widths],
        "cond_dim": cond_dim,
        "cond_tokens": _tokens(t, cond_dim),
        "attention_heads": shape_of(t, "time_rel_pos_bias.relative_attention_bias.weight", 2)[1],
        "norm_groups": given.get("norm_groups", 8),
        "init_kernel": first[3],
        "without_spatial_attention": [
            i for i in range(levels) if f"downs.{i}.2.fn.norm.gamma" not in t
        ],
        "without_temporal_attention": [],
    }


def _attention(layout, own, published, channels, hidden, linear):
    """`linear`: the published convolutions of linear attention; ours are linear layers."""
    norm, inner = published + ".fn.norm.gamma", published + (".fn.fn" if linear else ".fn.fn.fn")
    ones = (1, 1) if linear else ()
    layout.add(own + ".norm.weight", norm, (channels,), (1, channels, 1, 1, 1))
    for name, shape in (("to_qkv", (3 * hidden, channels)), ("to_out", (channels, hidden))):
        layout.add(f"{own}.{name}.weight", f"{inner}.{name}.weight", shape, shape + ones)
    if linear:
        layout.add(own + ".to_out.bias", inner + ".to_out.bias", (channels,))


def _block(layout, own, published, width_in, width_out, embedding):
    if embedding:
        layout.layer(own + ".mlp", published + ".mlp.1", (2 * width_out, embedding), 2 * width_out)
    for block, width in (("block1", width_in), ("block2", width_out)):
        place = (f"{own}.{block}.proj", f"{published}.{block}.proj")
        layout.layer(*place, (width_out, width, 1, 3, 3), width_out)
        layout.affine(f"{own}.{block}.norm", f"{published}.{block}.norm", width_out)
    if width_in != width_out:
        shape = (width_out, width_in, 1, 1, 1)
        layout.layer(own + ".res_conv", published + ".res_conv", shape, width_out)


def _level(layout, o, own, published, index, width_in, width_out, resample):
    embedding, hidden = 4 * o["dim"] + o["cond_dim"], HEAD_DIM * o["attention_heads"]
    _block(layout, own + ".block1", published + ".0", width_in, width_out, embedding)
    _block(layout, own + ".block2", published + ".1", width_out, width_out, embedding)
    if index not in o["without_spatial_attention"]:
        _attention(layout, own + ".spatial_attention", published + ".2", width_out, hidden, True)
    _attention(layout, own + ".temporal_attention", published + ".3", width_out, hidden, False)
    if resample:
        layout.layer(resample, published + ".4", (width_out, width_out, 1, 4, 4), width_out)


def _levels(layout, o):
    widths = [o["dim"]] + [o["dim"] * m for m in o["dim_mults"]]
    n = len(o["dim_mults"])
    for i in range(n):
        down = f"downsample{i}" if i + 1 < n else None
        _level(layout, o, f"down{i}", f"downs.{i}", i, widths[i], widths[i + 1], down)
    for i in reversed(range(n)):  # published decoders count from the coarsest level
        up = f"upsample{i}" if i > 0 else None
        place = (f"up{i}", f"ups.{n - 1 - i}")
        _level(layout, o, *place, i, 2 * widths[i + 1], widths[i], up)


def _rotary_names(levels):
    """The published model shares one rotary embedding between all its temporal attentions."""
    levels = [f"{side}.{i}.3" for side in ("downs", "ups") for i in range(levels)]
    places = ["init_temporal_attn", *levels, "mid_temporal_attn"]
    return [place + ".fn.fn.fn.rotary_emb.freqs" for place in places]


def layout(o):
    if o["without_temporal_attention"]:
        raise WeightsError("the published Unet3D has attention along D at every level")
    if o["without_spatial_attention"] not in ([], list(range(len(o["dim_mults"])))):
        raise WeightsError("the published Unet3D has linear attention at every level or at none")
    dim, mid = o["dim"], o["dim"] * o["dim_mults"][-1]
    embedding, hidden = 4 * dim + o["cond_dim"], HEAD_DIM * o["attention_heads"]
    all_of = Layout()
    if o["cond_dim"]:
        all_of.add("null_cond", "null_cond_emb", (1, o["cond_dim"]))
    if o.get("cond_tokens"):  # absent in folders made before there were tokens
        width, tokens = o["cond_dim"], o["cond_tokens"]
        all_of.layer("cond_projection", "fc_cond", (width, tokens * width), width)
    all_of.add("rotary_frequencies", _rotary_names(len(o["dim_mults"])), (HEAD_DIM // 2,))
    bias = "time_rel_pos_bias.relative_attention_bias.weight"
    all_of.add("position_bias.weight", bias, (32, o["attention_heads"]))
    kernel = o["init_kernel"]
    all_of.layer("init_conv", "init_conv", (dim, o["in_channels"], 1, kernel, kernel), dim)
    _attention(all_of, "init_temporal_attention", "init_temporal_attn", dim, hidden, False)
    all_of.layer("time1", "time_mlp.1", (4 * dim, dim), 4 * dim)
    all_of.layer("time2", "time_mlp.3", (4 * dim, 4 * dim), 4 * dim)
    _levels(all_of, o)
    _block(all_of, "mid_block1", "mid_block1", mid, mid, embedding)
    _attention(all_of, "mid_spatial_attention", "mid_spatial_attn", mid, hidden, False)
    _attention(all_of, "mid_temporal_attention", "mid_temporal_attn", mid, hidden, False)
    _block(all_of, "mid_block2", "mid_block2", mid, mid, embedding)
    _block(all_of, "final_block", "final_conv.0", 2 * dim, dim, 0)
    all_of.layer("final_conv", "final_conv.1", (o["out_channels"], dim, 1, 1, 1), o["out_channels"])
    return all_of


def published_content(tensors):
    """The published tensors as the published trainer saves them."""
    state = {PREFIX + name: tensor for name, tensor in tensors.items()}
    return state, lambda flat: {"step": 0, "model": flat, "ema": flat, "scaler": {}}
