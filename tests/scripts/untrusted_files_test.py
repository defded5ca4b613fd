"""Files that lie, are damaged or want to run code: refused with a reason, nothing run."""

import os
import pickle
import unittest
import zipfile

import numpy as np
from helpers import DENSENET, Runs, random_published

from weights import densenet3d, safetensors_file, torch_file, torch_writer, vqgan
from weights.tensors import WeightsError, of_array


class CallsSystem:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class Pickles(Runs):
    def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(self):
        trace = self.folder / "trace"
        hostile = {"state_dict": CallsSystem(f"touch {trace}")}
        for protocol in (2, 4):
            path = self.write_zip("hostile.ckpt", pickle.dumps(hostile, protocol))
            self.expect_refusal("wants to call posix.system", "vqgan", path)
            self.assertFalse(trace.exists())

    def test_a_hostile_pickle_in_the_old_format_is_refused_too(self):
        trace = self.folder / "trace"
        path = self.folder / "old.pth"
        path.write_bytes(pickle.dumps(CallsSystem(f"touch {trace}"), 2))
        self.expect_refusal("wants to call posix.system", path)
        self.assertFalse(trace.exists())

    def test_builtins_and_dotted_names_are_refused(self):
        for name in ("eval", "exec", "getattr", "open", "__import__"):
            pickled = f"cbuiltins\n{name}\n(S'1'\ntR.".encode()
            path = self.write_zip("a.pt", pickled)
            self.expect_refusal(f"wants to call builtins.{name}", path)
        pickled = b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93."
        self.expect_refusal("OrderedDict.fromkeys", self.write_zip("b.pt", pickled))

    def test_a_pickle_cannot_change_the_reader(self):
        for target in ("ctorch\nFloatStorage\n", "ctorch._utils\n_rebuild_tensor_v2\n"):
            path = self.write_zip("a.pt", f"{target}(dS'kind'\nS'F64'\nsb.".encode())
            code, printed = self.run_program(path, self.folder / "out")
            self.assertEqual(code, 1, printed)
        self.assertEqual(torch_file._KNOWN["torch", "FloatStorage"].kind, "F32")

    def test_a_dictionary_cannot_hide_its_methods(self):
        pickled = b"ccollections\nOrderedDict\n(tR(dS'items'\ncbuiltins\nset\nsb."
        content = torch_file.read(self.write_zip("a.pt", pickled))
        self.assertEqual(list(content.items()), [])

    def test_tensors_that_reach_beyond_their_storage_are_refused(self):
        tensor = of_array(np.zeros(4, np.float32))
        torch_writer.write(self.folder / "good.pt", {"a": tensor})
        with zipfile.ZipFile(self.folder / "good.pt") as archive:
            pickled = archive.read("archive/data.pkl")
        longer = pickled.replace(b"(\x8a\x01\x04t(\x8a\x01\x01t", b"(\x8a\x01\x05t(\x8a\x01\x01t")
        self.assertNotEqual(pickled, longer)
        path = self.write_zip("long.pt", longer, [bytes(16)])
        self.expect_refusal("reaches element 4 of a storage of 4", path)

    def test_storages_of_another_size_are_refused(self):
        tensor = of_array(np.zeros(4, np.float32))
        torch_writer.write(self.folder / "good.pt", {"a": tensor})
        with zipfile.ZipFile(self.folder / "good.pt") as archive:
            pickled = archive.read("archive/data.pkl")
        self.expect_refusal(
            "expected 16 bytes, found 8", self.write_zip("a.pt", pickled, [bytes(8)])
        )
        self.expect_refusal("data/0 is missing", self.write_zip("b.pt", pickled))

    def test_views_of_one_storage_are_read_as_what_they_show(self):
        storage = torch_file._Storage("F32", "0", 6)
        storage.read = lambda: np.arange(6, dtype=np.float32)
        turned = torch_file._rebuild_tensor(storage, 0, (3, 2), (1, 3))
        part = torch_file._rebuild_tensor(storage, 4, (2,), (1,))
        np.testing.assert_array_equal(turned.read(), [[0, 3], [1, 4], [2, 5]])
        np.testing.assert_array_equal(part.read(), [4, 5])

    def test_settings_of_omegaconf_are_unwrapped_without_running_it(self):
        def node(**state):
            made = type("Node", (torch_file.Inert,), {})()
            made.__setstate__(state)
            return made

        inner = node(_content={"num_groups": node(_val=8), "downsample": [node(_val=2), 4, 4]})
        settings = torch_file.settings_of({"cfg": node(_content={"model": inner})})
        found = vqgan.hyperparameters(settings)
        self.assertEqual(found, {"groups": 8, "downsample": [2, 4, 4]})

    def test_settings_that_multiply_are_refused(self):
        many = []
        for _ in range(30):
            many = [many, many]
        with self.assertRaisesRegex(WeightsError, "too many"):
            torch_file.settings_of(many)

    def test_a_memo_index_reserves_no_memory(self):
        path = self.write_zip("a.pt", b"\x80\x02]r\xff\xff\xff\x7f.")
        self.expect_refusal("holds no state dict", path)


class Damage(Runs):
    def test_truncated_files_are_refused(self):
        whole = self.write_unet().read_bytes()
        for part in (0, 1, 100, len(whole) // 2, len(whole) - 10):
            path = self.folder / "cut.pt"
            path.write_bytes(whole[:part])
            self.expect_refusal("convert_weights: ", path)

    def test_truncated_and_lying_safetensors_are_refused(self):
        path = self.folder / "a.safetensors"
        safetensors_file.write(path, random_published(densenet3d, DENSENET))
        whole = path.read_bytes()
        for damaged in (b"", whole[:5], whole[:200], whole[:-4], b"\xff" * 8 + whole[8:]):
            path.write_bytes(damaged)
            self.expect_refusal("a.safetensors", path)
        path.write_bytes(whole.replace(b'"shape":[8]', b'"shape":[9]', 1))
        self.expect_refusal("dtype and shape need", path)

    def test_a_damaged_storage_in_a_zip_is_refused(self):
        path = self.write_unet()
        whole = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            start = archive.getinfo("archive/data/3").header_offset
        whole[start + 60] ^= 255
        path.write_bytes(whole)
        self.expect_refusal("is damaged", path)

    def test_compressed_entries_are_refused(self):
        path = self.folder / "a.pt"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", bytes(10**6))
        self.expect_refusal("is compressed", path)

    def test_files_of_another_kind_are_refused(self):
        self.expect_refusal("does not exist", self.folder / "nothing.pt")
        path = self.folder / "text.pt"
        path.write_text("hello")
        self.expect_refusal("text.pt", path)
        torch_writer.write(path, {"a": of_array(np.zeros(3, np.float32))})
        self.expect_refusal("those of no known model", path)
        torch_writer.write(path, {"a": 3})
        self.expect_refusal("is not a tensor", path)


if __name__ == "__main__":
    unittest.main()
