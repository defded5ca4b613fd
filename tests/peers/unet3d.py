"""Unet3D: lucidrains' video-diffusion-pytorch, which the published code adapted, and that code."""

import published_code
import torch
from peer_case import PeerCase, normal, torch_file
from torch import nn

# name, arguments, shape of x, further keys of cases.json
SIZES = (
    ("two_levels", {"dim": 16, "dim_mults": (1, 2), "channels": 2, "cond_dim": 24}, (10, 16, 8)),
    (
        "four_levels",
        {"dim": 24, "dim_mults": (1, 2, 2, 4), "channels": 4, "cond_dim": 40, "attn_heads": 4},
        (5, 16, 24),
    ),
    (
        "deep",  # slices further apart than the position bias's last bucket
        {"dim": 16, "dim_mults": (1, 3), "channels": 1, "cond_dim": 8, "init_kernel_size": 3},
        (44, 8, 8),
    ),
    (
        "unconditional",
        {"dim": 16, "dim_mults": (2, 4), "channels": 3, "out_dim": 5, "resnet_groups": 4},
        (6, 8, 16),
    ),
)


class _SkipBeforeAttention:
    """The published code takes the last skip connection before the first attention along D; the
    package takes it after. This gives the package's model the published skip, and changes nothing
    else."""

    def __init__(self, model):
        self.first, self.width = None, model.init_conv.out_channels
        model.init_conv.register_forward_hook(self.keep)
        model.final_conv.register_forward_pre_hook(self.replace)

    def keep(self, module, inputs, output):
        self.first = output

    def replace(self, module, inputs):
        return (torch.cat((inputs[0][:, : -self.width], self.first), dim=1),)


def from_package(**arguments):
    from video_diffusion_pytorch import Unet3D

    model = Unet3D(**arguments)
    _SkipBeforeAttention(model)
    return model


def _run(model, inputs):
    given = (inputs["x"], inputs["t"])
    if "cond" not in inputs:
        return {"eps": model(*given)}
    cond = inputs["cond"]
    return {
        "eps": model(*given, cond=cond),
        "eps_null": model(*given, cond=cond, null_cond_prob=1),
        "eps_scale3": model.forward_with_cond_scale(*given, cond=cond, cond_scale=3),
    }


def _inputs(arguments, size, seed):
    inputs = {
        "x": normal(2, arguments["channels"], *size, seed=seed),
        "t": torch.tensor([3, 977]),
    }
    if "cond_dim" in arguments:
        inputs["cond"] = normal(2, arguments["cond_dim"], seed=seed + 1)
    return inputs


def _case(name, model, inputs, arguments):
    settings = {"resnet_groups": arguments.get("resnet_groups", 8)}
    return PeerCase(name, "unet3d", model, inputs, _run, torch_file("unet3d.pt"), settings)


def _tokens(unet3d):
    """The CLIP-token variant, with fewer tokens than its fixed 257 of 1024."""
    arguments = {"dim": 16, "dim_mults": (1, 2), "channels": 2, "cond_dim": 16}
    model = unet3d(**arguments, medclip=True)
    model.medclip, model.fc_cond = False, nn.Linear(5 * 16, 16)
    inputs = _inputs(arguments, (4, 8, 8), 90)
    inputs["cond"] = normal(2, 5, 16, seed=91)
    return _case("unet3d_published_tokens", model, inputs, arguments)


def cases(reference):
    for i, (name, arguments, size) in enumerate(SIZES):
        inputs = _inputs(arguments, size, 10 * i)
        yield _case("unet3d_" + name, from_package(**arguments), inputs, arguments)
    if not reference:
        return
    unet3d = published_code.unet3d(reference)
    for i, (name, arguments, size) in enumerate(SIZES):
        inputs = _inputs(arguments, size, 10 * i + 5)
        yield _case("unet3d_published_" + name, unet3d(**arguments), inputs, arguments)
    yield _tokens(unet3d)
