"""Imports pieces of a checkout of the published X-ray2CTPA code. Whatever it imports and this
environment lacks (its logging, viewers, downloads) is replaced by an empty module: the networks
need none of it."""

import ast
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import pathlib
import sys
import types


class _EmptyModule(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *a, **k: None})


def _imports(folder):
    """The first parts of the names that the checkout's files import."""
    for file in pathlib.Path(folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


class _Empty(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds an empty module for every name under one of `roots`."""

    def __init__(self, roots):
        self.roots = roots

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.roots:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _EmptyModule(spec.name)

    def exec_module(self, module):
        pass


@contextlib.contextmanager
def _checkout(folder):
    sys.path.insert(0, folder)
    absent = {name for name in set(_imports(folder)) if importlib.util.find_spec(name) is None}
    finder = _Empty(absent)
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        sys.meta_path.remove(finder)


def unet3d(folder):
    """The class Unet3D."""
    with _checkout(folder):
        return importlib.import_module("ddpm.diffusion").Unet3D


def densenet(folder):
    """The class DenseNet."""
    with _checkout(folder):
        return importlib.import_module("ddpm.classifier.densenet").DenseNet


def vqgan_discriminators(folder):
    """The classes NLayerDiscriminator and NLayerDiscriminator3D."""
    with _checkout(folder):
        module = importlib.import_module("vq_gan_3d.model.vqgan")
        return module.NLayerDiscriminator, module.NLayerDiscriminator3D


def vqgan(folder):
    """The modules that hold the VQ-GAN's networks and its codebook."""
    with _checkout(folder):
        networks = importlib.import_module("vq_gan_3d.model.vqgan")
        return networks, importlib.import_module("vq_gan_3d.model.codebook")
