#!/usr/bin/env python3
"""One volume at the published size, from published-layout weights with random values.

    .venv/bin/python scripts/check_full_size.py XRAY [FOLDER] [--program x2ctpa] [--steps 3]

Writes a checkpoint as X-ray2CTPA's trainer saves it (Unet3D of 12.0 M parameters, Stable
Diffusion's autoencoder, BiomedCLIP's ViT-B/16; about 730 MB) into FOLDER, a temporary one by
default, turns it into a model folder with convert_weights.py, samples XRAY on the CPU, and prints
time and peak memory of each step. The volume is noise: this shows that the way through is open and
what it needs.
"""

import argparse
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from weights import autoencoder_kl, torch_writer, unet3d
from weights.tensors import Tensor
from weights.vision import BiomedClip

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "dim": 32,
    "dim_mults": [1, 2, 4, 8],
    "cond_dim": 512,
    "cond_tokens": 0,
    "attention_heads": 8,
    "norm_groups": 8,
    "init_kernel": 7,
    "without_spatial_attention": [],
    "without_temporal_attention": [],
}
AUTOENCODER = {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "scaling_factor": 0.18215,
}
ENCODER = {
    "layout": "timm",
    "image_size": 224,
    "patch_size": 16,
    "width": 768,
    "depth": 12,
    "heads": 12,
    "mlp_width": 3072,
    "output_dim": 512,
}


def values(name, shape, rng):
    """Weights that keep the size of signals: 1 / sqrt(fan in); ones in norms, zeros in biases."""
    if len(shape) > 1 and not name.endswith("gamma"):
        fan_in = max(1, int(np.prod(shape[1:])))
        return (rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    one = name.endswith(("weight", "gamma"))
    return np.full(shape, 1 if one else 0, np.float32)


def published(kind, options, prefix, rng):
    state = {}
    for entry in kind.layout(options).entries:
        for name in entry.published:
            seed = int(rng.integers(2**31))
            shape = entry.published_shape
            state[prefix + name] = Tensor(
                "F32", shape, lambda n=name, s=shape, k=seed: values(n, s, np.random.default_rng(k))
            )
    return state


def step(title, *command):
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    result = subprocess.run([str(part) for part in command])
    if result.returncode != 0:
        sys.exit(f"check_full_size: {title} ended with {result.returncode}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # The system keeps the largest child alone: a smaller one cannot be told from it.
    peak_text = f"{peak / 2**20:.2f} GB" if peak > before else f"at most {peak / 2**20:.2f} GB"
    print(f"{title:<10} {time.monotonic() - start:7.1f} s   peak memory {peak_text}", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    parser.add_argument("xray")
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--program", default=ROOT / "build/release/bin/x2ctpa")
    parser.add_argument("--steps", default="3")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        state = published(unet3d, UNET, unet3d.PREFIX, rng)
        state |= published(autoencoder_kl, AUTOENCODER, "vae.", rng)
        state |= published(BiomedClip, ENCODER, "xray_encoder.visual.", rng)
        checkpoint = folder / "model-1.pt"
        torch_writer.write(checkpoint, {"step": 1, "model": state, "ema": state})
        converter = ROOT / "scripts/convert_weights.py"
        step("convert", sys.executable, converter, "generator", checkpoint, folder / "model")
        out = folder / "volumes"
        sampler = ("--sample.sampler.kind", "ddpm", "--sample.sampler.steps", args.steps)
        common = ("--device", "cpu", "--model", folder / "model", "--cxr", args.xray, "--out", out)
        step("sample", args.program, "sample", *common, *sampler)
        for volume in sorted(out.glob("*.nii.gz")):
            subprocess.run([str(args.program), "info", str(volume)], check=True)


if __name__ == "__main__":
    main()
