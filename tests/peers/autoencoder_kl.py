"""AutoencoderKL: diffusers, and under the names of the original latent diffusion code (LDM)."""

import re

import torch
from peer_case import PeerCase, normal, safetensors_file

SIZES = (
    ("three_levels", (8, 24, 16), 2, 4, 4, (20, 12)),
    ("one_layer", (16, 48), 1, 8, 3, (16, 24)),
    ("one_level", (32,), 2, 16, 4, (8, 8)),
)


def _run(model, inputs):
    posterior = model.encode(inputs["x"]).latent_dist
    decoded = model.decode(posterior.mean).sample
    return {"mean": posterior.mean, "logvar": posterior.logvar, "decoded": decoded}


_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def _ldm_name(name, levels):
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    up = lambda m: f"up.{levels - 1 - int(m[1])}."
    name = re.sub(r"up_blocks\.(\d+)\.", up, name)
    name = re.sub(r"(up\.\d+)\.resnets\.", r"\1.block.", name).replace(".upsamplers.0", ".upsample")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    middle = re.fullmatch(r"(\w+)\.mid_block\.attentions\.0\.(.*)\.(weight|bias)", name)
    if middle:
        return f"{middle[1]}.mid.attn_1.{_ATTENTION[middle[2]]}.{middle[3]}"
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def _ldm_file(model):
    """A `save` of one file in LDM's layout; diffusers' own converter must read it back."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    levels = len(model.config.block_out_channels)
    inner = safetensors_file("ldm.safetensors")

    def save(state, folder):
        ldm = {}
        for name, tensor in state.items():
            new = "first_stage_model." + _ldm_name(name, levels)
            is_attention = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", new)
            ldm[new] = tensor[:, :, None, None].clone() if is_attention else tensor
        back = convert_ldm_vae_checkpoint(dict(ldm), model.config)
        if back.keys() != state.keys() or any(
            not torch.equal(back[n].reshape(t.shape), t) for n, t in state.items()
        ):
            raise SystemExit(
                "diffusers does not read this LDM checkpoint as the model it came from"
            )
        return inner(ldm, folder)

    return save


def _model(widths, layers, groups, latent):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
        layers_per_block=layers,
        norm_num_groups=groups,
        latent_channels=latent,
    )


def cases(reference):
    for i, (name, widths, layers, groups, latent, size) in enumerate(SIZES):
        model = _model(widths, layers, groups, latent)
        save = safetensors_file("diffusion_pytorch_model.safetensors", model)
        inputs = {"x": normal(2, 3, *size, seed=200 + i).clamp(-1, 1)}
        yield PeerCase("autoencoder_kl_" + name, "autoencoder_kl", model, inputs, _run, save)
    model = _model((8, 16, 24), 1, 4, 4)
    inputs = {"x": normal(1, 3, 16, 16, seed=220).clamp(-1, 1)}
    settings = {"norm_num_groups": 4}
    yield PeerCase(
        "autoencoder_kl_ldm", "autoencoder_kl", model, inputs, _run, _ldm_file(model), settings
    )
