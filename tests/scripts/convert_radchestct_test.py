"""RAD-ChestCT's npz files through their converter."""

import contextlib
import csv
import gzip
import io
import pathlib
import struct
import tempfile
import unittest

import numpy as np
from helpers import ROOT  # noqa: F401  (sets the path)

import convert_radchestct


def scan(head_hu=700):
    """Slices from head to feet: the first one is `head_hu` at the patient's front right."""
    hu = np.full((6, 8, 8), -1000, np.int16)
    hu[:, 2:6, 2:6] = 40
    hu[0, 0, 0] = head_hu
    return hu


class RadChestCt(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)
        (self.folder / "in").mkdir()

    def convert(self, *more):
        said = io.StringIO()
        arguments = [str(self.folder / "in"), str(self.folder / "out"), *more]
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = convert_radchestct.main(arguments)
        return code, said.getvalue()

    def rows(self):
        with open(self.folder / "out/manifest.csv", newline="") as file:
            return {row["id"]: row for row in csv.DictReader(file)}

    def test_splits_patients_and_faults(self):
        for name in ("trn00001", "trn00002", "val00001", "tst00001"):
            np.savez_compressed(self.folder / f"in/{name}.npz", ct=scan())
        np.savez_compressed(self.folder / "in/trn00003.npz", other=scan())
        np.savez_compressed(self.folder / "in/trn00004.npz", ct=scan(2000))
        table = self.folder / "metadata.csv"
        table.write_text("NoteAcc_DEID,MRN_DEID\ntrn00001,m7\ntrn00002,m7\nval00001,m8\n")
        code, said = self.convert("--metadata", str(table))
        self.assertEqual(code, 3)
        self.assertIn("2 cannot be used: trn00003 (expected the key ct, found other)", said)
        self.assertIn("1 are not in the metadata: tst00001", said)
        rows = self.rows()
        self.assertEqual(rows["trn00001"]["patient_id"], rows["trn00002"]["patient_id"])
        self.assertEqual(rows["tst00001"]["patient_id"], "tst00001")
        splits = {name: row["split"] for name, row in rows.items()}
        self.assertEqual(splits["val00001"], "val")
        self.assertEqual(splits["tst00001"], "test")

    def test_the_volume_runs_from_feet_to_head_and_has_its_place(self):
        np.savez_compressed(self.folder / "in/trn00001.npz", ct=scan())
        self.assertEqual(self.convert()[0], 0)
        data = gzip.decompress((self.folder / "out/ct/trn00001.nii.gz").read_bytes())
        self.assertEqual(struct.unpack_from("<3h", data, 42), (8, 8, 6))
        np.testing.assert_allclose(struct.unpack_from("<3f", data, 80), 0.8, rtol=1e-6)
        hu = np.frombuffer(data, "<i2", 6 * 8 * 8, 352).reshape(6, 8, 8)
        self.assertEqual(np.argwhere(hu == 700).tolist(), [[5, 0, 0]])
        matrix = [struct.unpack_from("<4f", data, 280 + 16 * row) for row in range(3)]
        # NIfTI's axes point to the right, the front and the head.
        place = [row[2] * 5 + row[3] for row in matrix]
        np.testing.assert_allclose(place, [2.8, 2.8, 2.0], rtol=1e-5)


if __name__ == "__main__":
    unittest.main()
