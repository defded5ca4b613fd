"""The benchmark of X2CT-GAN from a folder in its form to the numbers that its code prints.

X2CTPA=build/release/bin/x2ctpa .venv-x2ct/bin/python tests/x2ct/benchmark_test.py
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import benchmark_folder
import numpy as np
import reference

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("X2CTPA", str(ROOT / "build/release/bin/x2ctpa"))
sys.path.insert(0, str(ROOT / "scripts"))

import volume_files  # noqa: E402

TRAIN = [f"LIDC-IDRI-000{n}.2000.{n}" for n in range(1, 8)]
TEST = ["LIDC-IDRI-0007.2000.1", "LIDC-IDRI-0008.2000.1", "LIDC-IDRI-0009.2000.1"]
TINY = """
runtime: {threads: 2}
preprocess: {grid: [24, 24, 24], cxr_size: 64}
vae:
  conv: {widths: [6, 12], blocks: [1, 1], decoder_blocks: [1, 1], latent_channels: 4}
  train: {steps: 20, validate_every: 10, checkpoint_every: 20, preview_every: 20}
diffusion:
  linear_mean: {random_features: 50}
  prior: {components: 0}
  denoiser: {encoder: {width: 4, embedding_dim: 16, groups: 2}, unet: {dim: 8, dim_mults: [1, 2]}}
  refiner:
    model: {width: 16, inner_width: 24}
    train: {steps: 4, validate_every: 4, checkpoint_every: 4, preview_every: 4}
  train: {steps: 6, batch_size: 2, validate_every: 6, checkpoint_every: 6, preview_every: 6}
sample: {sampler: {steps: 3}}
evaluate: {audit: false}
"""


def program(*arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def convert(folder, out, lists, *more):
    command = [sys.executable, ROOT / "scripts/convert_x2ct.py", folder, out]
    command += ["--train", lists / "train.txt", "--test", lists / "test.txt", *more]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


class Benchmark(unittest.TestCase):
    """One folder, converted and run through all commands once."""

    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.work = work = pathlib.Path(cls.place.name)
        (work / "train.txt").write_text("\n".join(TRAIN) + "\n")
        (work / "test.txt").write_text("\n".join(TEST) + "\n")
        folder = work / "LIDC-HDF5-256"
        for seed, name in enumerate([*TRAIN[:5], TRAIN[6], *TEST, "LIDC-IDRI-0999.2000.1"]):
            left_out = ("xray2",) if name == TRAIN[1] else ()
            left_out = ("ct",) if name == TRAIN[2] else left_out
            benchmark_folder.write_case(folder, name, seed, leave_out=left_out)
        cls.converted = convert(folder, work / "out", work, "--size", "24", "--validation", "1")
        cls.manifest = {row["id"]: row for row in rows_of(work / "out/manifest.csv")}
        (work / "tiny.yaml").write_text(TINY)
        settings = ["--config", ROOT / "configs/x2ct.yaml", "--config", work / "tiny.yaml"]
        settings += ["--run", work / "run"]
        cls.said = {}
        for line in (
            ["preprocess", "--input", work / "out/manifest.csv"],
            ["train-vae"],
            ["train-diffusion"],
            ["sample", "--split", "test"],
            ["evaluate"],
        ):
            cls.said[line[0]] = program(*line, *settings)
            if cls.said[line[0]][0] != 0:
                raise AssertionError(f"{line[0]}: {cls.said[line[0]]}")

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def test_what_is_wrong_with_the_input_is_named_and_counted(self):
        self.assertEqual(self.converted.returncode, 3)
        said = self.converted.stderr
        self.assertIn(f"1 cases of the lists without a file: {TRAIN[5]}", said)
        self.assertIn("1 cases of no list, left out: LIDC-IDRI-0999.2000.1", said)
        self.assertIn(f"1 cases without xray2, converted with one view: {TRAIN[1]}", said)
        self.assertIn(f"1 cases that cannot be used: {TRAIN[2]} (no ct)", said)
        self.assertIn("1 patients of both lists", said)
        self.assertNotIn("does not fit", said)
        self.assertIn(
            "frontal X-rays mirrored, of the lateral ones as stored", self.converted.stdout
        )

    def test_the_manifest_has_the_lists_and_both_views(self):
        splits = [row["split"] for row in self.manifest.values()]
        self.assertEqual([splits.count(s) for s in ("train", "val", "test")], [4, 1, 3])
        self.assertEqual(self.manifest[TRAIN[1]]["cxr_lateral"], "")
        self.assertEqual(self.manifest[TEST[1]]["cxr_lateral"], f"{TEST[1]}/cxr_lateral.png")
        self.assertNotEqual(self.manifest[TRAIN[6]]["patient_id"],
                            self.manifest[TEST[0]]["patient_id"])  # fmt: skip

    def test_voxels_have_their_true_place_and_values(self):
        # By the header: NIfTI's axes point to the right, the front and the head.
        for path in (
            self.work / f"out/{TEST[1]}/ct.nii.gz",
            self.work / f"run/dataset/ct/{TEST[1]}.nii",
        ):
            hu, matrix = reference.read_nifti(path)
            bright = np.argwhere(hu > 1400)[:, ::-1].mean(axis=0)
            found = (matrix[:, :3] @ bright + matrix[:, 3]) * (-1, -1, 1)
            self.assertLess(np.abs(found - benchmark_folder.MARKER_MM).max(), 4, path)
            step = np.abs(np.diag(matrix[:, :3]))
            np.testing.assert_allclose(step, 320 / 40 * 39 / 23, rtol=1e-5)
            self.assertEqual(hu.max(), 2500 - 1024)
            self.assertEqual(hu.min(), -1024)
        whole = convert(self.work / "LIDC-HDF5-256", self.work / "whole", self.work, "--size", "0")
        self.assertEqual(whole.returncode, 3)
        hu, matrix = reference.read_nifti(self.work / f"whole/{TEST[1]}/ct.nii.gz")
        self.assertEqual(hu.shape, (40, 40, 40))
        np.testing.assert_allclose(np.abs(np.diag(matrix[:, :3])), 320 / 40, rtol=1e-6)

    def test_xrays_are_hung_with_the_right_on_the_left_and_the_front_on_the_left(self):
        seed = [*TRAIN[:5], TRAIN[6], *TEST].index(TEST[1])
        ct = benchmark_folder.patient(40, seed)
        for view, name in enumerate(("cxr", "cxr_lateral")):
            found = reference.read_png(self.work / f"out/{TEST[1]}/{name}.png")
            np.testing.assert_array_equal(found, benchmark_folder.film(ct, view, 64))

    def test_volumes_reach_the_dataset_unchanged(self):
        for case in TEST:
            written, _ = reference.read_nifti(self.work / f"out/{case}/ct.nii.gz")
            kept, _ = reference.read_nifti(self.work / f"run/dataset/ct/{case}.nii")
            np.testing.assert_array_equal(written, kept)

    def test_the_xrays_are_those_of_the_volumes_under_the_beam_of_the_configuration(self):
        metrics = json.loads((self.work / "run/evaluation/metrics.json").read_text())
        fit = metrics["images"]["metrics"]["projection"]["truth"]["median"]
        print(f"correlation of the true volumes' DRR with the X-rays: {fit:.4f}")
        self.assertGreater(fit, 0.9)

    def test_the_numbers_are_those_of_the_formulas(self):
        rows = rows_of(self.work / "run/evaluation/per_case.csv")
        self.assertEqual({row["case_id"] for row in rows}, set(TEST))
        for row in rows:
            made, _ = reference.read_nifti(row["generated"])
            real, _ = reference.read_nifti(row["real"])
            self.compare(row, reference.numbers(real, made))

    def test_a_given_pair_of_volumes_has_the_numbers_of_the_formulas(self):
        random = np.random.default_rng(3)
        z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (18, 22, 26)), indexing="ij")
        real = np.rint(
            900 * np.cos(3 * x + y) * np.cos(4 * z) - 200 + 40 * random.normal(size=x.shape)
        )
        made = np.rint(real + 60 * np.sin(9 * y) + 30 * random.normal(size=x.shape))
        real, made = (np.clip(v, -1024, 2000) for v in (real, made))
        real[0, 0, 0] = made[0, 0, 0] = -1024
        made[5], made[:, 7] = real[5], real[:, 7]  # equal slices are 100 dB
        for name, hu in (("real", real), ("made", made)):
            volume_files.write_nifti(str(self.work / f"{name}/pair.nii.gz"), hu, 2.5, name)
        code, said = program("evaluate", "--generated", self.work / "made", "--real",
                             self.work / "real", "--out", self.work / "pair",
                             "--evaluate.protocols", "x2ct")  # fmt: skip
        self.assertEqual(code, 0, said)
        self.compare(rows_of(self.work / "pair/per_case.csv")[0], reference.numbers(real, made))

    def compare(self, row, expected):
        for name, value in expected.items():
            found = float(row[f"generated_{name}"])
            print(f"{row['case_id']} {name}: {found:.6f}, by the formula {value:.6f}")
            tolerance = 0.01 if name.endswith("_db") else 1e-4 * max(1, value)
            self.assertLess(abs(found - value), tolerance, name)


if __name__ == "__main__":
    unittest.main()
