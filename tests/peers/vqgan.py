"""The VQ-GAN of medicaldiffusion in DVG-Diffusion's configuration: with a checkout of either code
its own classes, else the same layers as torch.nn has them.

The class is on no package index. What is written here follows its definition: padding that repeats
the outermost voxels, the odd one before, and transposed convolutions cut by kernel - 1.
"""

import published_code
import torch
from peer_case import PeerCase, normal, torch_file
from torch import nn
from torch.nn import functional

# n_hiddens, embedding_dim, n_codes, downsample, num_groups; the first is DVG-Diffusion's.
SIZES = (
    ("dvg", 16, 8, 16384, (4, 4, 4), 32, (8, 12, 16)),
    ("oblong", 8, 3, 64, (2, 4, 4), 8, (6, 8, 12)),
)


def _padding(kernel, stride):
    """In the order of functional.pad: last axis first."""
    total = [kernel - s for s in reversed(stride)]
    return [side for t in total for side in (t // 2 + t % 2, t // 2)]


class _Conv(nn.Module):
    def __init__(self, width, out, kernel, stride=(1, 1, 1)):
        super().__init__()
        self.padding = _padding(kernel, stride)
        self.conv = nn.Conv3d(width, out, kernel, stride=stride)

    def forward(self, x):
        return self.conv(functional.pad(x, self.padding, mode="replicate"))


class _Up(nn.Module):
    def __init__(self, width, out, stride):
        super().__init__()
        self.padding = _padding(4, stride)
        self.convt = nn.ConvTranspose3d(width, out, 4, stride=stride, padding=3)

    def forward(self, x):
        return self.convt(functional.pad(x, self.padding, mode="replicate"))


class _ResBlock(nn.Module):
    def __init__(self, width, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, width, eps=1e-6)
        self.conv1 = _Conv(width, width, 3)
        self.norm2 = nn.GroupNorm(groups, width, eps=1e-6)
        self.conv2 = _Conv(width, width, 3)

    def forward(self, x):
        h = self.conv1(functional.silu(self.norm1(x)))
        return x + self.conv2(functional.silu(self.norm2(h)))


def _strides(downsample):
    left = [factor.bit_length() - 1 for factor in downsample]
    for _ in range(max(left)):
        yield tuple(2 if n > 0 else 1 for n in left)
        left = [n - 1 for n in left]


class _Encoder(nn.Module):
    def __init__(self, width, downsample, groups):
        super().__init__()
        self.conv_first = _Conv(1, width, 3)
        self.conv_blocks = nn.ModuleList()
        for stride in _strides(downsample):
            down, res = _Conv(width, 2 * width, 4, stride), _ResBlock(2 * width, groups)
            self.conv_blocks.append(nn.ModuleDict({"down": down, "res": res}))
            width *= 2
        self.final_block = nn.Sequential(nn.GroupNorm(groups, width, eps=1e-6), nn.SiLU())

    def forward(self, x):
        x = self.conv_first(x)
        for block in self.conv_blocks:
            x = block["res"](block["down"](x))
        return self.final_block(x)


class _Decoder(nn.Module):
    def __init__(self, width, downsample, groups):
        super().__init__()
        strides = list(_strides(downsample))
        inner = width << len(strides)
        self.final_block = nn.Sequential(nn.GroupNorm(groups, inner, eps=1e-6), nn.SiLU())
        self.conv_blocks = nn.ModuleList()
        for i, stride in enumerate(strides):
            out = width << (len(strides) - i)
            parts = {"up": _Up(inner, out, stride)}
            parts |= {name: _ResBlock(out, groups) for name in ("res1", "res2")}
            self.conv_blocks.append(nn.ModuleDict(parts))
            inner = out
        self.conv_last = _Conv(inner, 1, 3)

    def forward(self, x):
        x = self.final_block(x)
        for block in self.conv_blocks:
            x = block["res2"](block["res1"](block["up"](x)))
        return self.conv_last(x)


class _Codebook(nn.Module):
    def __init__(self, codes, width):
        super().__init__()
        self.register_buffer("embeddings", torch.randn(codes, width))
        self.register_buffer("N", torch.ones(codes))
        self.register_buffer("z_avg", self.embeddings.clone())


class _Networks(nn.Module):
    """The parts of the published class that a model folder has, under its names."""

    def __init__(self, encoder, decoder, codebook, pre_vq, post_vq):
        super().__init__()
        self.encoder, self.decoder, self.codebook = encoder, decoder, codebook
        self.pre_vq_conv, self.post_vq_conv = pre_vq, post_vq
        for parameter in self.parameters():  # DVG-Diffusion's decoder asks for no gradients
            parameter.requires_grad_(True)


def _model(width, embedding, codes, downsample, groups, checkout):
    inner = width << len(list(_strides(downsample)))
    if not checkout:
        parts = _Encoder(width, downsample, groups), _Decoder(width, downsample, groups)
        convs = _Conv(inner, embedding, 1), _Conv(embedding, inner, 1)
        return _Networks(*parts, _Codebook(codes, embedding), *convs)
    networks, codebooks = published_code.vqgan(checkout)
    return _Networks(
        networks.Encoder(width, list(downsample), 1, "group", "replicate", groups),
        networks.Decoder(width, list(downsample), 1, "group", groups),
        codebooks.Codebook(codes, embedding),
        networks.SamePadConv3d(inner, embedding, 1),
        networks.SamePadConv3d(embedding, inner, 1),
    )


def _run(model, inputs):
    codes = model.codebook.embeddings
    latent = inputs["latent"]
    rows = latent.detach().movedim(1, -1).reshape(-1, codes.shape[1])
    nearest = codes[torch.cdist(rows, codes).argmin(1)]
    nearest = nearest.view(*latent.movedim(1, -1).shape).movedim(-1, 1)
    return {
        "z": model.pre_vq_conv(model.encoder(inputs["x"])),
        "decoded": model.decoder(model.post_vq_conv(latent)),
        "codes": nearest + 0 * latent,  # as an output it needs a way back to an input
    }


def cases(reference):
    for i, (name, width, embedding, codes, downsample, groups, size) in enumerate(SIZES):
        for checkout in (None, reference) if reference else (None,):
            model = _model(width, embedding, codes, downsample, groups, checkout)
            settings = {"downsample": list(downsample), "num_groups": groups}
            cfg = {"model": {**settings, "restart_thres": 1.0, "no_random_restart": False}}
            wrap = lambda state, cfg=cfg: {"state_dict": state, "hyper_parameters": {"cfg": cfg}}
            latent = [n // f for n, f in zip(size, downsample, strict=True)]
            inputs = {
                "x": normal(2, 1, *size, seed=700 + i).sigmoid(),
                "latent": normal(2, embedding, *latent, seed=710 + i),
            }
            yield PeerCase(
                f"vqgan_{'published_' if checkout else ''}{name}",
                "vqgan",
                model,
                inputs,
                _run,
                torch_file("vqgan.ckpt", wrap),
                settings,
            )
