"""scripts/convert_weights.py with public weights: DVG-Diffusion's VQ-GAN, MAISI's autoencoder and
RAD-DINO."""

import json
import unittest

import numpy as np
from helpers import VQGAN, Runs, random_own, random_published

from weights import (
    autoencoder_kl,
    autoencoder_maisi,
    model_folder,
    safetensors_file,
    torch_file,
    torch_writer,
    volumes,
    vqgan,
)
from weights.tensors import of_array
from weights.vision import Dinov2

# config/model/vq_gan_3d.yaml of DVG-Diffusion.
DVG = {
    "channels": 1,
    "hidden_channels": 16,
    "embedding_dim": 8,
    "codes": 16384,
    "downsample": [4, 4, 4],
    "norm": "group",
    "groups": 32,
    "commitment_weight": 0.25,
    "ema_decay": 0.99,
    "random_restart": True,
    "restart_threshold": 1.0,
}
MAISI = {
    "num_channels": [4, 8, 8],
    "num_res_blocks": [2, 1, 3],
    "latent_channels": 3,
    "norm_num_groups": 4,
}
DINO = {
    "layout": "dinov2",
    "image_size": 42,
    "patch_size": 14,
    "width": 192,
    "depth": 2,
    "heads": 3,
    "mlp_width": 16,
    "output_dim": 0,
    "mean": [0.5307, 0.5307, 0.5307],
    "std": [0.2583, 0.2583, 0.2583],
    "positions_side": 0,
}


class DvgDiffusion(Runs):
    def checkpoint(self):
        """As Lightning saves DVG-Diffusion's: discriminators, perceptual network and settings."""
        state = random_published(vqgan, DVG)
        state["perceptual_model.lin0.model.1.weight"] = of_array(np.zeros((1, 64, 1, 1), "f4"))
        model = {
            "embedding_dim": 8,
            "n_codes": 16384,
            "n_hiddens": 16,
            "downsample": [4, 4, 4],
            "restart_thres": 1.0,
            "no_random_restart": False,
            "norm_type": "group",
            "padding_type": "replicate",
            "num_groups": 32,
        }
        cfg = {"model": model, "dataset": {"name": "LIDC", "image_channels": 1}}
        path = self.folder / "CT_VQGAN.ckpt"
        content = {"state_dict": state, "hyper_parameters": {"cfg": cfg}}
        torch_writer.write(path, content)
        return path, state

    def test_its_checkpoint_converts_with_its_axes_range_and_window(self):
        path, state = self.checkpoint()
        out = self.folder / "out"
        code, printed = self.run_program(path, out, "--volumes", "dvg")
        self.assertEqual(code, 0, printed)
        options, tensors = model_folder.read(out)
        self.assertEqual(options, DVG)
        for name in ("decoder.conv_last.conv.bias", "codebook.embeddings"):
            np.testing.assert_array_equal(tensors[name].read(), state[name].read())
        self.assertEqual(
            volumes.read(out),
            {
                "axes": [-1, 2, 3],
                "low": 0,
                "high": 1,
                "window_min_hu": -1024,
                "window_max_hu": 1476,
            },
        )

    def test_the_form_of_its_volumes_travels_to_the_reference_and_back(self):
        path, state = self.checkpoint()
        ours, back = self.folder / "ours", self.folder / "back"
        self.run_program(path, ours, "--volumes", "dvg")
        for suffix in (".ckpt", ".safetensors"):
            file = self.folder / f"file{suffix}"
            code, printed = self.run_program("--to", "reference", ours, file)
            self.assertEqual(code, 0, printed)
            code, printed = self.run_program(file, back)
            self.assertEqual(code, 0, printed)
            for name in ("config.yaml", "volumes.yaml", "model.safetensors"):
                self.assertEqual((ours / name).read_bytes(), (back / name).read_bytes())
        self.assertEqual(
            set(torch_file.read(self.folder / "file.ckpt")["state_dict"]) | set(state), set(state)
        )

    def test_a_form_left_by_another_conversion_is_removed(self):
        path, _ = self.checkpoint()
        out = self.folder / "out"
        self.run_program(path, out, "--volumes", "dvg")
        self.run_program(path, out)
        self.assertIsNone(volumes.read(out))

    def test_a_published_generator_has_no_place_for_the_form(self):
        ours = self.folder / "vae"
        model_folder.write(ours, VQGAN, random_own(vqgan, VQGAN))
        volumes.write(ours, volumes.FORMS["dvg"])
        unet = self.write_unet()
        self.expect_refusal("volumes.yaml", "generator", unet, "--vae", ours)


class Maisi(Runs):
    def test_the_published_file_converts_and_takes_maisis_volumes(self):
        state = random_published(autoencoder_maisi, MAISI)
        path, out = self.folder / "autoencoder_v1.pt", self.folder / "out"
        torch_writer.write(path, {"epoch": 273, "unet_state_dict": state})
        code, printed = self.run_program(path, out, "--option", "norm_num_groups=4")
        self.assertEqual(code, 0, printed)
        self.assertIn("kind        autoencoder_maisi\n", printed)
        options, tensors = model_folder.read(out)
        self.assertEqual(options, MAISI)
        self.assertEqual(volumes.read(out), volumes.FORMS["maisi"])
        for ours, published in (
            ("encoder.blocks.0", "encoder.blocks.0.conv.conv"),
            ("encoder.blocks.3", "encoder.blocks.3.conv.conv.conv"),
            ("encoder.blocks.4.nin_shortcut", "encoder.blocks.4.nin_shortcut.conv.conv"),
            ("decoder.blocks.1.norm2", "decoder.blocks.1.norm2"),
            ("quant_conv_mu", "quant_conv_mu.conv"),
        ):
            found, expected = tensors[ours + ".weight"], state[published + ".weight"]
            np.testing.assert_array_equal(found.read(), expected.read())

    def test_ours_to_reference_and_back_is_bit_identical(self):
        ours, back = self.folder / "ours", self.folder / "back"
        model_folder.write(ours, MAISI, random_own(autoencoder_maisi, MAISI))
        volumes.write(ours, volumes.FORMS["maisi"])
        for suffix in (".pt", ".safetensors"):
            file = self.folder / f"maisi{suffix}"
            code, printed = self.run_program("--to", "reference", ours, file)
            self.assertEqual(code, 0, printed)
            code, printed = self.run_program(file, back)
            self.assertEqual(code, 0, printed)
            for name in ("config.yaml", "volumes.yaml", "model.safetensors"):
                self.assertEqual((ours / name).read_bytes(), (back / name).read_bytes())

    def test_it_is_not_taken_for_stable_diffusions(self):
        for tensors in (
            random_published(autoencoder_maisi, MAISI),
            random_own(autoencoder_maisi, MAISI),
        ):
            self.assertFalse(autoencoder_kl.is_published(tensors))

    def test_attention_which_ours_lacks_is_refused(self):
        state = random_published(autoencoder_maisi, MAISI)
        state["decoder.blocks.1.attn.to_q.weight"] = of_array(np.zeros((8, 8), "f4"))
        path = self.folder / "a.pt"
        torch_writer.write(path, state)
        self.expect_refusal("decoder.blocks.1.attn.to_q.weight", "autoencoder_maisi", path)

    def test_the_published_size(self):
        sizes = {"num_channels": [64, 128, 256], "num_res_blocks": [2, 2, 2], "latent_channels": 4}
        entries = autoencoder_maisi.layout(sizes).entries
        self.assertEqual(sum(int(np.prod(e.shape)) for e in entries), 20_944_897)


class RadDino(Runs):
    def write(self, change=lambda tensors: None, config=(), preprocessor=None):
        folder = self.folder / "rad-dino"
        folder.mkdir(exist_ok=True)
        tensors = random_published(Dinov2, DINO)
        tensors["embeddings.mask_token"] = of_array(np.zeros((1, 192), "f4"))
        change(tensors)
        safetensors_file.write(folder / "model.safetensors", tensors, {"format": "pt"})
        text = json.dumps({"model_type": "dinov2", "num_attention_heads": 3, **dict(config)})
        (folder / "config.json").write_text(text)
        if preprocessor:
            (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
        return folder

    def test_the_published_folder_converts(self):
        out = self.folder / "out"
        code, printed = self.run_program(self.write(), out)
        self.assertEqual(code, 0, printed)
        self.assertIn("kind        dinov2\n", printed)
        self.assertIn("left out    1 tensors: the token of hidden patches", printed)
        self.assertEqual(model_folder.read(out)[0], DINO)

    def test_its_preprocessor_says_mean_and_standard_deviation(self):
        said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
        out = self.folder / "out"
        code, printed = self.run_program(self.write(preprocessor=said), out)
        self.assertEqual(code, 0, printed)
        options = model_folder.read(out)[0]
        self.assertEqual((options["mean"], options["std"]), ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]))

    def test_another_picture_size_keeps_the_positions_of_its_own(self):
        out = self.folder / "out"
        code, printed = self.run_program(self.write(), out, "--option", "image_size=28")
        self.assertEqual(code, 0, printed)
        options, tensors = model_folder.read(out)
        self.assertEqual((options["image_size"], options["positions_side"]), (28, 3))
        self.assertEqual(tensors["embeddings.position_embeddings"].shape, (1, 10, 192))

    def test_names_of_newer_transformers_and_of_a_whole_classifier(self):
        def rename(tensors):
            for name in list(tensors):
                new = name.replace("attention.attention.query", "attention.q_proj")
                new = new.replace("attention.output.dense", "attention.o_proj")
                tensors["dinov2." + new] = tensors.pop(name)
            tensors["classifier.bias"] = of_array(np.zeros(2, "f4"))

        out = self.folder / "out"
        code, printed = self.run_program(self.write(rename), out)
        self.assertEqual(code, 0, printed)
        self.assertIn("left out    1 tensors: the classifier", printed)

    def test_a_perceptron_that_ours_lacks_is_refused(self):
        folder = self.write(config={"use_swiglu_ffn": True})
        self.expect_refusal("expected use_swiglu_ffn False, found True", folder)

    def test_ours_to_reference_and_back_is_bit_identical(self):
        ours, back, file = (self.folder / n for n in ("ours", "back", "model.safetensors"))
        model_folder.write(ours, DINO, random_own(Dinov2, DINO))
        code, printed = self.run_program("--to", "reference", ours, file)
        self.assertEqual(code, 0, printed)
        code, printed = self.run_program(file, back)
        self.assertEqual(code, 0, printed)
        for name in ("config.yaml", "model.safetensors"):
            self.assertEqual((ours / name).read_bytes(), (back / name).read_bytes())

    def test_axes_of_volumes_are_for_autoencoders(self):
        self.expect_refusal("dinov2 takes no volumes", self.write(), "--volumes", "maisi")


if __name__ == "__main__":
    unittest.main()
