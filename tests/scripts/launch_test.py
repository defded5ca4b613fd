"""The console script of the wheel: every unfit surrounding gets a sentence with its remedy."""

import contextlib
import importlib.util
import io
import os
import sys
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

LAUNCH = Path(__file__).resolve().parents[2] / "scripts" / "package" / "launch.py"


def load(torch="2.14.1", glibc="2.17"):
    """The module, as in a wheel that was built with these."""
    built_with = types.ModuleType("x2ctpa.built_with")
    built_with.TORCH, built_with.GLIBC = torch, glibc
    built_with.NEEDED_BY_TORCH = ["libcupti.so.13"]
    package = types.ModuleType("x2ctpa")
    package.built_with = built_with
    with mock.patch.dict(sys.modules, {"x2ctpa": package, "x2ctpa.built_with": built_with}):
        spec = importlib.util.spec_from_file_location("launch", LAUNCH)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


class Environment:
    """A folder of packages with x2ctpa, and torch and NVIDIA's library where asked for."""

    def __init__(self, folder, torch=None, cupti=True):
        self.folder = Path(folder)
        (self.folder / "x2ctpa" / "bin").mkdir(parents=True)
        if torch:
            (self.folder / "torch").mkdir()
            (self.folder / "torch" / "version.py").write_text(f"__version__ = '{torch}'\n")
        if cupti:
            lib = self.folder / "nvidia" / "cu13" / "lib"
            lib.mkdir(parents=True)
            (lib / "libcupti.so.13").touch()

    def start(self, launch, path=()):
        """The exit code, what it says, and what it would become."""
        launch.FOLDER = str(self.folder / "x2ctpa")
        said = io.StringIO()
        with (
            mock.patch.object(os, "execv") as execv,
            mock.patch.object(sys, "path", list(path)),
            mock.patch.object(sys, "argv", ["x2ctpa", "info", "--json"]),
            contextlib.redirect_stderr(said),
        ):
            code = launch.main()
        return code, said.getvalue(), execv.call_args


class Launch(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def refused(self, environment, launch, path=()):
        code, said, became = environment.start(launch, path)
        self.assertEqual(code, 1)
        self.assertIsNone(became)
        self.assertTrue(said.startswith("x2ctpa: "), said)
        return said

    def test_becomes_the_program_with_its_arguments(self):
        _, said, became = Environment(self.folder, torch="2.14.1+cu130").start(load())
        self.assertEqual(said, "")
        program = str(self.folder / "x2ctpa" / "bin" / "x2ctpa")
        self.assertEqual(became.args, (program, ["x2ctpa", "info", "--json"]))

    def test_another_torch_is_named_with_the_one_that_is_needed(self):
        said = self.refused(Environment(self.folder, torch="2.9.0+cu128"), load())
        for part in ("2.9.0+cu128", "built with torch 2.14.1", "pip install torch==2.14.1"):
            self.assertIn(part, said)

    def test_no_torch_is_said(self):
        said = self.refused(Environment(self.folder), load())
        self.assertIn("torch is not installed", said)
        self.assertIn("pip install torch==2.14.1", said)

    def test_torch_in_another_folder_is_said(self):
        other = Environment(self.folder / "other", torch="2.14.1")
        said = self.refused(Environment(self.folder / "here"), load(), [str(other.folder)])
        self.assertIn(str(other.folder), said)
        self.assertIn("same folder", said)

    def test_a_library_that_torch_cannot_be_loaded_without_is_named(self):
        bare = Environment(self.folder, torch="2.14.1+cu130", cupti=False)
        self.assertIn("libcupti.so.13", self.refused(bare, load()))

    def test_torch_for_the_cpu_needs_none_of_them(self):
        cpu = Environment(self.folder, torch="2.14.1+cpu", cupti=False)
        self.assertEqual(cpu.start(load())[1], "")

    def test_an_older_glibc_is_named_with_the_one_that_is_needed(self):
        said = self.refused(Environment(self.folder, torch="2.14.1"), load(glibc="9.99"))
        self.assertIn("glibc 9.99 or later", said)
        self.assertIn(os.confstr("CS_GNU_LIBC_VERSION"), said)

    def test_another_c_library_is_said(self):
        environment, launch = Environment(self.folder, torch="2.14.1"), load()
        with mock.patch.object(os, "confstr", side_effect=ValueError):
            self.assertIn("another C library", self.refused(environment, launch))

    def test_a_program_that_cannot_be_started_is_said(self):
        environment, launch = Environment(self.folder, torch="2.14.1"), load()
        said = io.StringIO()
        launch.FOLDER = str(environment.folder / "x2ctpa")
        with contextlib.redirect_stderr(said):
            self.assertEqual(launch.main(), 1)
        self.assertIn("Install the wheel again", said.getvalue())


if __name__ == "__main__":
    unittest.main()
