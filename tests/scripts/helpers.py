"""What the tests of the scripts share: small models, and the program run on a temporary folder."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest
import zipfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import convert_weights  # noqa: E402
from weights import densenet3d, latent_discriminator, torch_writer, unet3d, vqgan  # noqa: E402
from weights.tensors import Tensor, of_array  # noqa: E402

UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "dim": 8,
    "dim_mults": [1, 2],
    "cond_dim": 6,
    "cond_tokens": 0,
    "attention_heads": 2,
    "norm_groups": 4,
    "init_kernel": 7,
    "without_spatial_attention": [],
    "without_temporal_attention": [],
}
VQGAN = {
    "channels": 1,
    "hidden_channels": 4,
    "embedding_dim": 3,
    "codes": 5,
    "downsample": [2, 4, 4],
    "norm": "group",
    "groups": 2,
    "commitment_weight": 0.5,
    "ema_decay": 0.99,
    "random_restart": False,
    "restart_threshold": 1.5,
}
DENSENET = {
    "depth": 121,
    "blocks": [1, 2],
    "channels": 4,
    "planar": False,
    "growth": 4,
    "init_features": 8,
    "bottleneck": 2,
    "drop_rate": 0.1,
    "classes": 1,
}
# The running averages tell the norm; its groups, of no use then, are not in the tensors.
VQGAN_BATCH = {**VQGAN, "norm": "batch", "groups": 32}
LATENT_DISCRIMINATOR = {"channels": 2, "hidden_channels": 4, "layers": 2, "kernel": 3}
SMALL = (
    (unet3d, UNET),
    (vqgan, VQGAN),
    (vqgan, VQGAN_BATCH),
    (densenet3d, DENSENET),
    (latent_discriminator, LATENT_DISCRIMINATOR),
)


def random_own(kind, options):
    """A model's tensors under our names, with random values."""
    rng, tensors = np.random.default_rng(1), {}
    for entry in kind.layout(options).entries:
        if entry.value is not None:
            tensors[entry.own] = of_array(entry.value())
        elif entry.type == "I64":
            tensors[entry.own] = of_array(np.array(7, np.int64))
        else:
            values = rng.standard_normal(entry.shape).astype(np.float32)
            tensors[entry.own] = of_array(np.asarray(values, np.float32))
    return tensors


def random_published(kind, options):
    rng, tensors = np.random.default_rng(2), {}
    for entry in kind.layout(options).entries:
        values = np.asarray(rng.standard_normal(entry.published_shape), np.float32)
        for name in entry.published:
            tensors[name] = of_array(np.array(3, np.int64) if entry.type == "I64" else values)
    return tensors


def zeros_published(kind, options):
    """As random_published(), without memory for the values."""
    tensors = {}
    for entry in kind.layout(options).entries:
        for name in entry.published:
            shape = entry.published_shape
            read = lambda shape=shape: np.broadcast_to(np.float32(0), shape)  # noqa: E731
            tensors[name] = Tensor("F32", shape, read)
    return tensors


class Runs(unittest.TestCase):
    """Runs the program on files of a temporary folder."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def run_program(self, *arguments):
        """(exit code, everything it printed)."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = convert_weights.main([str(a) for a in arguments])
        return code, printed.getvalue()

    def expect_refusal(self, part, *arguments):
        out = self.folder / "refused"
        code, printed = self.run_program(*arguments, out)
        self.assertEqual(code, 1, printed)
        self.assertIn(part, printed)
        self.assertFalse(out.exists(), "something was written")

    def write_zip(self, name, pickled, storages=()):
        path = self.folder / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
            for i, storage in enumerate(storages):
                archive.writestr(f"archive/data/{i}", storage)
        return path

    def write_unet(self, change=lambda tensors: None, name="model-1.pt"):
        tensors = random_published(unet3d, UNET)
        change(tensors)
        state = {unet3d.PREFIX + n: t for n, t in tensors.items()}
        torch_writer.write(self.folder / name, {"step": 1, "model": state, "ema": state})
        return self.folder / name
