"""Writes files that torch.load reads (also with weights_only=True), without torch."""

import json
import os
import struct
import zipfile

import numpy as np

from .tensors import Tensor, WeightsError
from .torch_file import OPTIONS_RECORD, STORAGE_TYPES

_TYPE_NAMES = {kind: name for name, kind in STORAGE_TYPES.items()}


class _Pickle:
    """The few opcodes of protocol 2 that a state dict needs."""

    def __init__(self):
        self.out = bytearray(b"\x80\x02")
        self.tensors = []  # in the order of their storages

    def value(self, value):
        if isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, dict):
            self.out += b"}("
            for key, item in value.items():
                self.value(key)
                self.value(item)
            self.out += b"u"
        elif isinstance(value, (list, tuple)):
            self.out += b"("
            for item in value:
                self.value(item)
            self.out += b"t" if isinstance(value, tuple) else b"l"
        elif isinstance(value, str):
            text = value.encode()
            self.out += b"X" + struct.pack("<I", len(text)) + text
        elif value is None or isinstance(value, bool):
            self.out += {None: b"N", True: b"\x88", False: b"\x89"}[value]
        elif isinstance(value, int):
            size = value.bit_length() // 8 + 1
            self.out += b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        elif isinstance(value, float):
            self.out += b"G" + struct.pack(">d", value)
        else:
            raise WeightsError(f"cannot write a {type(value).__name__}")

    def _global(self, module, name):
        self.out += f"c{module}\n{name}\n".encode()

    def _tensor(self, tensor):
        stride, step = [], 1
        for n in reversed(tensor.shape):
            stride.insert(0, step)
            step *= max(n, 1)
        self._global("torch._utils", "_rebuild_tensor_v2")
        self.out += b"(("
        self.value("storage")
        self._global("torch", _TYPE_NAMES[tensor.type])
        key = next((i for i, t in enumerate(self.tensors) if t is tensor), len(self.tensors))
        if key == len(self.tensors):
            self.tensors.append(tensor)
        for item in (str(key), "cpu", tensor.size()):
            self.value(item)
        self.out += b"tQ"  # the tuple names the storage
        for item in (0, tuple(tensor.shape), tuple(stride), False):
            self.value(item)
        self._global("collections", "OrderedDict")
        self.out += b")RtR"


def write(path, content, options=None):
    """`content` is made of dictionaries, lists, plain values and Tensors; `options` are ours."""
    pickled = _Pickle()
    pickled.value(content)
    pickled.out += b"."
    unfinished = f"{path}.tmp"
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", bytes(pickled.out))
        archive.writestr("archive/byteorder", b"little")
        if options is not None:
            archive.writestr("archive/" + OPTIONS_RECORD, json.dumps(options))
        for i, tensor in enumerate(pickled.tensors):
            data = np.ascontiguousarray(tensor.read()).tobytes()
            archive.writestr(f"archive/data/{i}", data)
        archive.writestr("archive/version", b"3\n")
    os.replace(unfinished, path)
