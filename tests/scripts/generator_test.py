"""A whole generator: one published file into a folder that the program samples from, and back."""

import unittest

import numpy as np
from helpers import UNET, Runs, random_published

from weights import autoencoder_kl, model_folder, torch_writer, unet3d
from weights.tensors import of_array
from weights.vision import BiomedClip

KL = {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "scaling_factor": 0.18215,
}
VIT = {
    "layout": "timm",
    "image_size": 16,
    "patch_size": 8,
    "width": 192,
    "depth": 1,
    "heads": 3,
    "mlp_width": 8,
    "output_dim": 5,
    "mean": [0.633] * 3,
    "std": [0.181] * 3,
}
FLAGS = ("--vae-option", "norm_num_groups=4", "--grid", "8,16,16")


class Generator(Runs):
    def write_whole(self, leave_out="", cond_dim=5):
        unet = random_published(unet3d, {**UNET, "cond_dim": cond_dim})
        state = {unet3d.PREFIX + n: t for n, t in unet.items()}
        state |= {"vae." + n: t for n, t in random_published(autoencoder_kl, KL).items()}
        encoder = random_published(BiomedClip, VIT)
        state |= {"xray_encoder.visual." + n: t for n, t in encoder.items()}
        state["xray_encoder.logit_scale"] = of_array(np.zeros((), np.float32))
        state["betas"] = of_array(np.zeros(3, np.float32))
        if leave_out:
            state = {n: t for n, t in state.items() if not n.startswith(leave_out)}
        path = self.folder / "model-1.pt"
        torch_writer.write(path, {"step": 1, "model": state, "ema": state})
        return path

    def test_one_file_becomes_a_folder_with_all_three_networks_and_what_the_data_were(self):
        out = self.folder / "out"
        code, printed = self.run_program("generator", self.write_whole(), out, *FLAGS)
        self.assertEqual(code, 0, printed)
        self.assertEqual(printed.count("result      fits"), 3)
        options, tensors = model_folder.read(out)
        self.assertEqual(options["unet"]["cond_dim"], 5)
        self.assertFalse(options["label_guidance"])
        self.assertTrue(all(name.startswith("unet.") for name in tensors))
        latent = model_folder.read_options(out / "latent.yaml")
        self.assertEqual(latent["size"], [8, 8, 8])
        # The published range becomes -1 and 1.
        for edge, value in ((-1, -12.911299), (1, 9.596558)):
            self.assertAlmostEqual(edge * latent["std"][0] + latent["mean"][0], value, places=5)
        for part in ("autoencoder", "cxr_encoder"):
            self.assertTrue((out / part / "model.safetensors").exists())

    def test_a_condition_one_wider_than_the_embedding_carries_a_label(self):
        out = self.folder / "out"
        path = self.write_whole(cond_dim=6)
        code, printed = self.run_program("generator", path, out, *FLAGS)
        self.assertEqual(code, 0, printed)
        self.assertTrue(model_folder.read(out)[0]["label_guidance"])
        self.expect_refusal(
            "the X-ray encoder gives 5", "generator", self.write_whole(cond_dim=8), *FLAGS
        )

    def test_to_reference_and_back_is_bit_identical(self):
        out, back, file = self.folder / "out", self.folder / "back", self.folder / "again.pt"
        self.run_program("generator", self.write_whole(cond_dim=6), out, *FLAGS)
        code, printed = self.run_program("--to", "reference", out, file)
        self.assertEqual(code, 0, printed)
        code, printed = self.run_program("generator", file, back)
        self.assertEqual(code, 0, printed)
        files = sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file())
        self.assertEqual(len(files), 9)
        for name in files:
            self.assertEqual((out / name).read_bytes(), (back / name).read_bytes(), name)

    def test_a_part_that_the_file_lacks_is_asked_for_and_taken_from_elsewhere(self):
        path = self.write_whole(leave_out="vae.")
        self.expect_refusal("holds no autoencoder; give --vae", "generator", path, *FLAGS)
        vae = self.folder / "vae"
        model_folder.write(vae, KL, random_published(autoencoder_kl, KL))
        out = self.folder / "out"
        code, printed = self.run_program("generator", path, out, "--vae", vae, *FLAGS)
        self.assertEqual(code, 0, printed)

    def test_a_grid_that_the_autoencoder_does_not_divide_is_refused(self):
        flags = ("--vae-option", "norm_num_groups=4", "--grid", "8,15,16")
        self.expect_refusal("--grid", "generator", self.write_whole(), *flags)


if __name__ == "__main__":
    unittest.main()
