"""What every reader returns: tensors that know their type and shape, and are read when asked."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np


class WeightsError(Exception):
    """Something about the weights that the user must know; the text is the whole message."""


# The types of the safetensors format that weights come in. bfloat16 is held as raw 16-bit words.
NUMPY_TYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
FLOATING = ("F64", "F32", "F16", "BF16")


@dataclasses.dataclass
class Tensor:
    """One stored tensor. `read` gives its values as an array of NUMPY_TYPES[type]."""

    type: str
    shape: tuple
    read: Callable[[], np.ndarray]

    def size(self):
        return math.prod(self.shape)

    def reshaped(self, shape):
        """The same values in another shape of the same size."""
        return Tensor(self.type, tuple(shape), lambda: self.read().reshape(shape))

    def __setstate__(self, _):
        raise WeightsError("a tensor whose inside the file wants to change")


def of_array(array):
    """A Tensor that holds `array`."""
    array = np.asarray(array)
    for name, dtype in NUMPY_TYPES.items():
        if dtype == array.dtype and name != "BF16":
            return Tensor(name, tuple(array.shape), lambda: array)
    raise WeightsError(f"no tensor type for an array of {array.dtype}")


def as_float32(tensor):
    """The values as float32; float16 and bfloat16 widen exactly."""
    values = tensor.read()
    if tensor.type == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(values, dtype=np.float32)


def shape_text(shape):
    return "(" + ", ".join(str(n) for n in shape) + ")"
