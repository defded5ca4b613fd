"""The bill of materials of the wheel, and that the same content gives the same bytes."""

import json
import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/package"))

import make_wheel  # noqa: E402

PACKAGES = {"libgdcm3.0": "3.0.21-1", "libtiff6": "4.5.0-6+deb12u2"}
FILES = {"x2ctpa/lib/libtiff.so.6": "ab" * 32}


class BillOfMaterials(unittest.TestCase):
    def test_names_every_part_with_its_version(self):
        text = make_wheel.bill_of_materials("0.1.0", "2.11.0", PACKAGES, FILES)
        bill = json.loads(text)
        self.assertEqual((bill["bomFormat"], bill["specVersion"]), ("CycloneDX", "1.5"))
        self.assertEqual(bill["metadata"]["component"]["purl"], "pkg:pypi/x2ctpa@0.1.0")
        found = {part["name"]: part for part in bill["components"]}
        self.assertEqual(set(found), {"torch", *PACKAGES, *FILES})
        self.assertEqual(
            found["libtiff6"]["purl"], "pkg:deb/debian/libtiff6@4.5.0-6%2Bdeb12u2?arch=amd64"
        )
        self.assertEqual(
            found["x2ctpa/lib/libtiff.so.6"]["hashes"], [{"alg": "SHA-256", "content": "ab" * 32}]
        )
        references = [part["bom-ref"] for part in bill["components"]]
        self.assertEqual(len(references), len(set(references)))
        self.assertEqual(bill["dependencies"][0]["dependsOn"], references)

    def test_is_the_same_whenever_it_is_made_and_another_for_other_parts(self):
        first = make_wheel.bill_of_materials("0.1.0", "2.11.0", PACKAGES, FILES)
        turned = dict(reversed(PACKAGES.items()))
        self.assertEqual(first, make_wheel.bill_of_materials("0.1.0", "2.11.0", turned, FILES))
        other = make_wheel.bill_of_materials("0.1.0", "2.11.1", PACKAGES, FILES)
        self.assertNotEqual(json.loads(first)["serialNumber"], json.loads(other)["serialNumber"])


class Archive(unittest.TestCase):
    def test_has_the_same_bytes_whatever_the_times_of_its_files(self):
        made = []
        for age in (0, 86400):
            with tempfile.TemporaryDirectory() as folder:
                root = pathlib.Path(folder) / "root"
                info = root / "x2ctpa-0.1.0.dist-info"
                info.mkdir(parents=True)
                for name in ("b", "a"):
                    (root / name).write_text(name)
                    os.utime(root / name, (age, age + 315532800))
                make_wheel.write_wheel(root, info, pathlib.Path(folder) / "a.whl")
                made.append((pathlib.Path(folder) / "a.whl").read_bytes())
        self.assertEqual(made[0], made[1])


if __name__ == "__main__":
    unittest.main()
