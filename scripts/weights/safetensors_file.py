"""Safetensors files: an 8-byte length, a JSON header, the raw data.

The package `safetensors` (0.8.0) does not serve here: with numpy, which has no bfloat16, it neither
reads nor writes that type; it takes a header that names a tensor twice; and it writes tensors in
the order of their types, not of their names as the program does.
"""

import json
import math
import os

import numpy as np

from .tensors import NUMPY_TYPES, Tensor, WeightsError

MAX_HEADER_BYTES = 100_000_000  # as in the reference implementation


def _read_header(path):
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise WeightsError(
                f"{path}: not a safetensors file, or cut short: its header claims {length} bytes, "
                f"the file has {size}"
            )
        try:
            header = json.loads(file.read(length), object_pairs_hook=_refuse_repeats)
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"{path}: the safetensors header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise WeightsError(f"{path}: the safetensors header is not a JSON object")
    return header, 8 + length, size - 8 - length


def _refuse_repeats(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _is_size(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_entry(path, name, entry, data_bytes):
    """(type, shape, begin, end) of one entry of the header."""

    def fail(reason):
        raise WeightsError(f'{path}: tensor "{name}": {reason}')

    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        fail("its header entry lacks dtype, shape or data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind not in NUMPY_TYPES:
        fail(f"unknown dtype {kind!r}")
    if not isinstance(shape, list) or not all(_is_size(n) for n in shape):
        fail("its shape is not a list of sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(n) for n in offsets):
        fail("its data_offsets are not two sizes")
    begin, end = offsets
    need = math.prod(shape) * NUMPY_TYPES[kind].itemsize
    if begin > end or end > data_bytes or end - begin != need:
        fail(
            f"its data lies at bytes {begin}..{end} of {data_bytes}, but dtype and shape need "
            f"{need} bytes"
        )
    return kind, tuple(shape), begin, end


def _check_tiling(path, entries, data_bytes):
    """Refuses data that overlap or leave holes."""
    covered = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != covered:
            raise WeightsError(
                f'{path}: tensor "{name}": its data begins at byte {begin}, expected {covered} '
                "(an overlap or a hole)"
            )
        covered = end
    if covered != data_bytes:
        raise WeightsError(f"{path}: {data_bytes - covered} bytes of data belong to no tensor")


def read(path):
    """(tensors by name, metadata) of the file; the values are mapped, not read."""
    header, start, data_bytes = _read_header(path)
    metadata = header.pop("__metadata__", {})
    entries = {name: _check_entry(path, name, e, data_bytes) for name, e in header.items()}
    _check_tiling(path, entries, data_bytes)

    def reader(kind, shape, begin):
        dtype = NUMPY_TYPES[kind]
        if math.prod(shape) == 0:
            return lambda: np.zeros(shape, dtype)
        return lambda: np.memmap(path, dtype, "r", start + begin, shape)

    tensors = {
        name: Tensor(kind, shape, reader(kind, shape, begin))
        for name, (kind, shape, begin, _) in entries.items()
    }
    return tensors, metadata if isinstance(metadata, dict) else {}


def write(path, tensors, metadata=None):
    """Writes `tensors` (by name) sorted by name, as the program does; whole or not at all."""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name in sorted(tensors):
        tensor = tensors[name]
        end = offset + tensor.size() * NUMPY_TYPES[tensor.type].itemsize
        header[name] = {
            "dtype": tensor.type,
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    unfinished = f"{path}.tmp"
    with open(unfinished, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in sorted(tensors):
            file.write(np.ascontiguousarray(tensors[name].read()).data)
    os.replace(unfinished, path)
