"""scripts/convert_weights.py: what it reports, and that nothing is lost or mixed up."""

import math
import os
import pathlib
import unittest

import numpy as np
from helpers import (
    DENSENET,
    ROOT,
    SMALL,
    UNET,
    VQGAN,
    Runs,
    random_own,
    random_published,
    zeros_published,
)

import convert_weights
from weights import (
    autoencoder_kl,
    densenet3d,
    lora,
    lpips,
    model_folder,
    safetensors_file,
    torch_file,
    torch_writer,
    unet3d,
    vqgan,
)
from weights.layout import Report, to_own
from weights.tensors import Tensor, WeightsError, as_float32, of_array
from weights.vision import BiomedClip, ClipVision

REFERENCE = pathlib.Path(
    os.environ.get("X2CTPA_REFERENCE_VECTORS", ROOT.parent / "shared" / "reference-vectors")
)


class Strictness(Runs):
    def test_a_missing_tensor_is_named(self):
        path = self.write_unet(lambda t: t.pop("time_mlp.3.bias"))
        self.expect_refusal("time_mlp.3.bias (32)", path)

    def test_an_unexpected_tensor_is_named(self):
        extra = {"fc_cond.bias": of_array(np.zeros(3, np.float32))}
        path = self.write_unet(lambda t: t.update(extra))
        self.expect_refusal("fc_cond.bias (3)", path)

    def test_a_wrong_shape_is_named_with_the_expected_one(self):
        wrong = {"mid_block1.block1.norm.bias": of_array(np.zeros(15, np.float32))}
        path = self.write_unet(lambda t: t.update(wrong))
        self.expect_refusal("mid_block1.block1.norm.bias: expected (16), found (15)", path)

    def test_values_that_are_not_finite_are_refused(self):
        for value in (np.nan, np.inf):
            bad = {"time_mlp.1.bias": of_array(np.full(32, value, np.float32))}
            path = self.write_unet(lambda t, bad=bad: t.update(bad))
            self.expect_refusal("time_mlp.1.bias: holds values that are not finite", path)

    def test_types_other_than_floating_are_refused(self):
        for array in (np.zeros(32, np.int32), np.zeros(32, np.float64)):
            bad = {"time_mlp.1.bias": of_array(array)}
            path = self.write_unet(lambda t, bad=bad: t.update(bad))
            self.expect_refusal("time_mlp.1.bias: expected type F32", path)

    def test_of_one_tensor_under_many_names_the_last_is_taken_as_torch_does(self):
        other = {"ups.0.3.fn.fn.fn.rotary_emb.freqs": of_array(np.zeros(16, np.float32))}
        path = self.write_unet(lambda t: t.update(other))
        code, printed = self.run_program(path, self.folder / "out")
        self.assertEqual(code, 0, printed)
        self.assertIn(
            "note        ups.0.3.fn.fn.fn.rotary_emb.freqs differs from mid_temp", printed
        )
        found = model_folder.read(self.folder / "out")[1]["rotary_frequencies"].read()
        self.assertTrue(found.any())

    def test_options_that_contradict_the_tensors_are_refused(self):
        path = self.write_unet()
        self.expect_refusal("the tensors say 8", path, "--option", "dim=16")
        self.expect_refusal("--option nonsense", path, "--option", "nonsense=1")

    def test_what_the_tensors_cannot_tell_is_asked_for(self):
        path = self.folder / "bare.safetensors"
        safetensors_file.write(path, random_published(vqgan, VQGAN))
        self.expect_refusal("give --option downsample=", path)

    def test_the_rest_of_a_diffusion_checkpoint_is_left_out_and_counted(self):
        state = {unet3d.PREFIX + n: t for n, t in random_published(unet3d, UNET).items()}
        state["betas"] = state["vae.encoder.conv_in.bias"] = of_array(np.zeros(3, np.float32))
        torch_writer.write(self.folder / "a.pt", {"model": state, "ema": state})
        code, printed = self.run_program(self.folder / "a.pt", self.folder / "out")
        self.assertEqual(code, 0, printed)
        self.assertIn("left out    1 tensors: the noise schedule", printed)
        self.assertIn("--prefix vae.", printed)

    def test_a_prefix_takes_a_part_of_a_larger_checkpoint(self):
        network = random_published(densenet3d, DENSENET)
        state = {f"classifier.base_model.{n}": t for n, t in network.items()}
        state["betas"] = of_array(np.zeros(3, np.float32))
        torch_writer.write(self.folder / "a.pt", {"model": state, "ema": state})
        out = self.folder / "out"
        code, printed = self.run_program(self.folder / "a.pt", out, "--prefix", "classifier.")
        self.assertEqual(code, 0, printed)
        self.assertEqual(len(model_folder.read(out)[1]), len(network))


class RoundTrips(Runs):
    def test_ours_to_reference_and_back_is_bit_identical(self):
        for kind, options in SMALL:
            for suffix in (".pt", ".safetensors"):
                with self.subTest(kind=kind.NAME, suffix=suffix):
                    ours, back = self.folder / f"{kind.NAME}", self.folder / f"{kind.NAME}_back"
                    model_folder.write(ours, options, random_own(kind, options))
                    file = self.folder / f"{kind.NAME}{suffix}"
                    code, printed = self.run_program("--to", "reference", ours, file)
                    self.assertEqual(code, 0, printed)
                    code, printed = self.run_program(file, back)
                    self.assertEqual(code, 0, printed)
                    for name in ("config.yaml", "model.safetensors"):
                        self.assertEqual((ours / name).read_bytes(), (back / name).read_bytes())

    def test_models_that_the_published_code_does_not_have_are_refused(self):
        for kind, options, part in (
            (unet3d, {**UNET, "without_temporal_attention": [0]}, "attention along D"),
            (unet3d, {**UNET, "without_spatial_attention": [0]}, "at every level or at none"),
            (densenet3d, {**DENSENET, "planar": True}, "not pictures"),
        ):
            whole = random_own(
                kind,
                {
                    **options,
                    "without_temporal_attention": [],
                    "without_spatial_attention": [],
                    "planar": False,
                },
            )
            model_folder.write(self.folder / "ours", options, whole)
            self.expect_refusal(part, "--to", "reference", self.folder / "ours")

    def test_an_untrained_codebook_has_no_place_in_the_published_layout(self):
        tensors = random_own(vqgan, VQGAN)
        tensors["codebook.initialised"] = of_array(np.zeros(1, np.uint8))
        model_folder.write(self.folder / "ours", VQGAN, tensors)
        self.expect_refusal("codebook.initialised", "--to", "reference", self.folder / "ours")

    def test_sixteen_bit_weights_widen_exactly(self):
        words = np.array([0x3F80, 0xC049, 0x0001], np.uint16)  # 1, about -pi, the smallest
        tensor = Tensor("BF16", (3,), lambda: words)
        wide = as_float32(tensor)
        self.assertEqual(wide.dtype, np.float32)
        self.assertEqual(wide[0], 1)
        self.assertEqual(wide[1], -3.140625)
        np.testing.assert_array_equal(wide.view(np.uint32) >> 16, words)


class LowRankUpdates(Runs):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(3)
        self.random = lambda *shape: rng.standard_normal(shape).astype(np.float32)

    def test_an_injected_layer_becomes_a_plain_one(self):
        weight, up, down = self.random(6, 5), self.random(6, 2), self.random(2, 5)
        injected = {
            "a.linear.weight": of_array(weight),
            "a.linear.bias": of_array(self.random(6)),
            "a.lora_up.weight": of_array(up),
            "a.lora_down.weight": of_array(down),
        }
        merged, count = lora.merge(injected, 0.5)
        self.assertEqual((count, set(merged)), (1, {"a.weight", "a.bias"}))
        np.testing.assert_allclose(merged["a.weight"].read(), weight + 0.5 * up @ down, rtol=1e-5)

    def test_an_injected_convolution_becomes_a_plain_one(self):
        weight, up, down = self.random(6, 5, 3, 3), self.random(6, 2, 1, 1), self.random(2, 5, 3, 3)
        injected = {
            "a.conv.weight": of_array(weight),
            "a.lora_up.weight": of_array(up),
            "a.lora_down.weight": of_array(down),
        }
        merged = lora.merge(injected, 1)[0]["a.weight"].read()
        expected = weight + np.einsum("or,rihw->oihw", up[:, :, 0, 0], down)
        np.testing.assert_allclose(merged, expected, rtol=1e-5, atol=1e-6)

    def test_an_update_without_its_half_or_of_another_shape_is_refused(self):
        up, down = of_array(self.random(6, 2)), of_array(self.random(2, 4))
        with self.assertRaisesRegex(WeightsError, "without its other half"):
            lora.merge({"a.linear.weight": up, "a.lora_up.weight": up}, 1)
        layers = {"a.linear.weight": of_array(self.random(6, 5))}
        with self.assertRaisesRegex(WeightsError, "do not fit a weight of"):
            lora.merge({**layers, "a.lora_up.weight": up, "a.lora_down.weight": down}, 1)[0]

    def test_a_file_of_updates_goes_to_the_linear_layers_in_order(self):
        tensors = random_published(unet3d, UNET)
        names = lora._layers(tensors)
        self.assertIn("mid_spatial_attn.fn.fn.fn.to_qkv.weight", names)
        self.assertNotIn("time_mlp.1.weight", names)
        updates = []
        for name in names:
            out, into = tensors[name].shape
            updates += [of_array(self.random(out, 2)), of_array(self.random(2, into))]
        torch_writer.write(self.folder / "lora.pt", updates)
        path, out = self.write_unet(), self.folder / "out"
        code, printed = self.run_program(path, out, "--lora", self.folder / "lora.pt")
        self.assertEqual(code, 0, printed)
        self.assertIn(f"merged      {len(names)} low-rank updates", printed)
        found = model_folder.read(out)[1]["init_temporal_attention.to_qkv.weight"].read()
        at = names.index("init_temporal_attn.fn.fn.fn.to_qkv.weight")
        expected = tensors[names[at]].read() + updates[2 * at].read() @ updates[2 * at + 1].read()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


class PublishedSizes(unittest.TestCase):
    """The layouts at the published sizes have the published numbers of parameters."""

    def parameters(self, kind, **options):
        buffers = ("running_mean", "running_var", "num_batches_tracked")
        entries = kind.layout(options).entries
        return sum(math.prod(e.shape) for e in entries if not e.own.endswith(buffers))

    def test_unet3d(self):
        sizes = {**UNET, "dim": 32, "dim_mults": [1, 2, 4, 8], "cond_dim": 512}
        self.assertEqual(self.parameters(unet3d, **{**sizes, "attention_heads": 8}), 12_007_252)

    def test_unet3d_of_clip_tokens(self):
        published = random_published(unet3d, {**UNET, "cond_tokens": 3})
        width = UNET["cond_dim"]
        self.assertEqual(published["fc_cond.weight"].shape, (width, 3 * width))
        self.assertEqual(unet3d.options(published, {})["cond_tokens"], 3)
        self.assertEqual(unet3d.options(random_published(unet3d, UNET), {})["cond_tokens"], 0)

    def test_autoencoder_of_stable_diffusion(self):
        sizes = {"in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 2}
        widths = [128, 256, 512, 512]
        found = self.parameters(autoencoder_kl, block_out_channels=widths, **sizes)
        self.assertEqual(found, 83_653_863)

    def test_image_towers(self):
        base = {"image_size": 224, "patch_size": 16, "width": 768, "depth": 12, "mlp_width": 3072}
        large = {"image_size": 224, "patch_size": 14, "width": 1024, "depth": 24, "mlp_width": 4096}
        self.assertEqual(self.parameters(BiomedClip, output_dim=512, **base), 86_191_872)
        self.assertEqual(self.parameters(ClipVision, **large), 303_179_776)

    def test_lpips(self):
        self.assertEqual(self.parameters(lpips), 14_714_688 + 1472)


class OtherLayouts(unittest.TestCase):
    KL = {
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": [8, 16, 32],
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 32,
        "scaling_factor": 0.18215,
    }

    def test_names_of_the_original_latent_diffusion_code(self):
        for ldm, diffusers in (
            ("encoder.conv_in.weight", "encoder.conv_in.weight"),
            (
                "encoder.down.1.block.0.nin_shortcut.bias",
                "encoder.down_blocks.1.resnets.0.conv_shortcut.bias",
            ),
            (
                "encoder.down.0.downsample.conv.weight",
                "encoder.down_blocks.0.downsamplers.0.conv.weight",
            ),
            ("encoder.mid.block_2.norm1.weight", "encoder.mid_block.resnets.1.norm1.weight"),
            ("decoder.mid.attn_1.proj_out.bias", "decoder.mid_block.attentions.0.to_out.0.bias"),
            ("decoder.mid.attn_1.norm.weight", "decoder.mid_block.attentions.0.group_norm.weight"),
            ("decoder.up.0.block.1.conv2.weight", "decoder.up_blocks.2.resnets.1.conv2.weight"),
            ("decoder.up.2.upsample.conv.bias", "decoder.up_blocks.0.upsamplers.0.conv.bias"),
            ("decoder.norm_out.bias", "decoder.conv_norm_out.bias"),
            ("post_quant_conv.weight", "post_quant_conv.weight"),
        ):
            self.assertEqual(autoencoder_kl._diffusers_name(ldm, 3), diffusers)

    def as_ldm(self, name):
        """The inverse, by another way: literal replacements, the finer names first."""
        for i in range(3):
            name = name.replace(f"up_blocks.{i}.", f"up.{2 - i}.")
        for ours, theirs in (
            ("mid_block.resnets.0", "mid.block_1"),
            ("mid_block.resnets.1", "mid.block_2"),
            ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"),
            ("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out"),
            ("mid_block.attentions.0.to_", "mid.attn_1."),
            ("down_blocks", "down"),
            ("downsamplers.0", "downsample"),
            ("upsamplers.0", "upsample"),
            ("resnets", "block"),
            ("conv_shortcut", "nin_shortcut"),
            ("conv_norm_out", "norm_out"),
        ):
            name = name.replace(ours, theirs)
        return name

    def test_a_whole_latent_diffusion_file_fits(self):
        for prefix in ("", "first_stage_model."):
            ldm = {}
            for name, tensor in random_published(autoencoder_kl, self.KL).items():
                name = self.as_ldm(name)
                if ".attn_1." in name and len(tensor.shape) == 2:
                    tensor = tensor.reshaped(tensor.shape + (1, 1))
                ldm[prefix + name] = tensor
            ldm["model.diffusion_model.x" if prefix else "loss.logvar"] = of_array(np.zeros(1))
            kept, aside = autoencoder_kl.select(ldm)
            self.assertEqual(sum(aside.values()), 1)
            options = autoencoder_kl.options(kept, {})
            self.assertEqual(options, self.KL)
            report = Report("", "", options)
            to_own(autoencoder_kl.layout(options), kept, report)
            self.assertTrue(report.fine(), "\n".join(report.lines()))

    def test_lpips_from_two_files_and_from_the_package_alone(self):
        published = zeros_published(lpips, {})
        slices = {"0": 1, "2": 1, "5": 2, "7": 2, "10": 3, "12": 3, "14": 3}
        for variant in ("torchvision", "package"):
            found = {}
            for name, tensor in published.items():
                number = name.split(".")[1]
                if variant == "package" and name.startswith("features."):
                    slice_number = slices.get(number, 4 if int(number) < 23 else 5)
                    name = name.replace("features.", f"net.slice{slice_number}.")
                found[name] = tensor
            found["classifier.0.weight" if variant == "torchvision" else "scaling_layer.shift"] = (
                None
            )
            kept, aside = lpips.select(found)
            report = Report("", "", {})
            to_own(lpips.layout({}), kept, report)
            self.assertTrue(report.fine(), "\n".join(report.lines()))
            self.assertEqual(sum(aside.values()), 1)

    def test_clip_with_and_without_prefix_and_text_tower(self):
        sizes = {"image_size": 8, "patch_size": 4, "width": 192, "depth": 1, "mlp_width": 16}
        bare = random_published(ClipVision, sizes)
        whole = {"vision_model." + n: t for n, t in bare.items()}
        whole["text_model.a"] = whole["vision_model.embeddings.position_ids"] = of_array(
            np.zeros(2)
        )
        for tensors, left_out in ((bare, 0), (whole, 2)):
            kept, aside = ClipVision.select(tensors)
            options = ClipVision.options(kept, {})
            self.assertEqual({n: options[n] for n in sizes}, sizes)
            self.assertEqual((options["heads"], sum(aside.values())), (3, left_out))
            report = Report("", "", options)
            to_own(ClipVision.layout(options), kept, report)
            self.assertTrue(report.fine(), "\n".join(report.lines()))


@unittest.skipUnless(REFERENCE.is_dir(), f"no reference vectors in {REFERENCE}")
class ReferenceVectors(Runs):
    def test_every_checkpoint_converts(self):
        for checkpoint, kind, *extra in (
            ("unet3d_small.pt", "unet3d"),
            ("vqgan_small.ckpt", "vqgan"),
            ("vqgan_anisotropic.ckpt", "vqgan"),
            ("autoencoder_kl_small", "autoencoder_kl"),
            ("autoencoder_kl_four_levels/diffusion_pytorch_model.safetensors", "autoencoder_kl"),
            ("biomedclip_vit_small.bin", "biomedclip_vit", "--option", "heads=4"),
            ("clip_vision_small", "clip_vision"),
            ("densenet3d_small.pth.tar", "densenet3d"),
        ):
            with self.subTest(checkpoint=checkpoint):
                out = self.folder / checkpoint.split(".")[0]
                code, printed = self.run_program(REFERENCE / checkpoint, out, *extra)
                self.assertEqual(code, 0, printed)
                self.assertIn(f"kind        {kind}\n", printed)
                options, tensors = model_folder.read(out)
                expected = convert_weights.KINDS[kind].layout(options).entries
                self.assertEqual(
                    {e.own: e.shape for e in expected}, {n: t.shape for n, t in tensors.items()}
                )

    def test_ema_and_model_differ_and_either_can_be_had(self):
        found = {}
        for which in ("ema", "model"):
            out = self.folder / which
            code, printed = self.run_program(REFERENCE / "unet3d_small.pt", out, "--which", which)
            self.assertEqual(code, 0, printed)
            found[which] = model_folder.read(out)[1]["time1.weight"].read()
        self.assertFalse(np.array_equal(found["ema"], found["model"]))

    def test_reference_to_ours_to_reference_gives_back_every_tensor(self):
        ours, file = self.folder / "ours", self.folder / "back.ckpt"
        self.run_program(REFERENCE / "vqgan_small.ckpt", ours)
        code, printed = self.run_program("--to", "reference", ours, file)
        self.assertEqual(code, 0, printed)
        before = torch_file.read(REFERENCE / "vqgan_small.ckpt")["state_dict"]
        after = torch_file.read(file)["state_dict"]
        self.assertEqual(set(before), set(after))
        for name in before:
            np.testing.assert_array_equal(before[name].read(), after[name].read())


if __name__ == "__main__":
    unittest.main()
