"""Files of torch.save, read without torch: the zip format and the one before it (torch < 1.6).

A pickle is a program, and a downloaded one may run anything. This reader knows the names in _KNOWN
and _INERT and refuses every other; the names in _INERT (hyperparameters, numpy scalars) become
objects that hold what they were given and do nothing.
"""

import io
import json
import math
import pickle
import struct
import zipfile

import numpy as np

from .tensors import NUMPY_TYPES, Tensor, WeightsError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
# Our options in a file that we wrote; torch.load does not look at it.
OPTIONS_RECORD = "x2ctpa.json"

STORAGE_TYPES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}


class Inert:
    """Stands for an object whose class is not run: keeps its arguments and state."""

    args, state = (), None

    def __init__(self, *args):
        self.args = args

    def __setstate__(self, state):
        self.state = state

    # A few stubs are dictionaries or lists in their own world and are filled item by item.
    def __setitem__(self, key, value):
        if not isinstance(self.state, dict):
            self.state = {}
        self.state[key] = value

    def append(self, value):
        if not isinstance(self.state, list):
            self.state = []
        self.state.append(value)

    def extend(self, values):
        for value in values:
            self.append(value)


class _Dictionary(dict):
    """An OrderedDict or defaultdict without its class's state, which could hide its methods."""

    __slots__ = ()

    def __setstate__(self, _):
        pass


class _Sealed:
    def __setstate__(self, _):
        raise WeightsError("a storage whose inside the file wants to change")


class _Storage(_Sealed):
    """The numbers that one or several tensors look at; found only when they are read."""

    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count
        self.read = None  # set by the file's reader


class _StorageType(_Sealed):
    def __init__(self, kind):
        self.kind = kind


def _rebuild_tensor(storage, offset, size, stride, *_):
    """A Tensor that looks at `storage`; the arguments come from the file and are not trusted."""
    numbers = (offset, *size, *stride)
    if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise WeightsError("a tensor whose storage, offset, size or stride makes no sense")
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise WeightsError(f"a tensor with {len(size)} sizes and {len(stride)} strides")
    count = math.prod(size)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride)) if count else 0
    if count and last >= storage.count:
        raise WeightsError(
            f"a tensor that reaches element {last} of a storage of {storage.count} (storage "
            f"{storage.key})"
        )

    def read():
        if count == 0:
            return np.zeros(size, NUMPY_TYPES[storage.kind])
        flat = storage.read()[offset:]
        steps = [s * flat.itemsize for s in stride]
        return np.lib.stride_tricks.as_strided(flat, size, steps, writeable=False)

    return Tensor(storage.kind, size, read)


def _rebuild_parameter(data, *_):
    return data


_KNOWN = {
    ("collections", "OrderedDict"): _Dictionary,
    ("collections", "defaultdict"): lambda *_: _Dictionary(),
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): tuple,
    ("builtins", "set"): set,
    **{("torch", name): _StorageType(kind) for name, kind in STORAGE_TYPES.items()},
}

_INERT = {
    ("argparse", "Namespace"),
    ("types", "SimpleNamespace"),
    ("typing", "Any"),
    ("builtins", "dict"),  # as a type that settings or a defaultdict name
    ("builtins", "list"),
    ("builtins", "int"),
    ("builtins", "long"),  # int, as protocol 2 names it
    ("builtins", "float"),
    ("builtins", "str"),
    ("builtins", "bool"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("torch", "device"),
    ("torch", "float16"),
    ("torch", "bfloat16"),
    ("torch", "float32"),
    ("omegaconf.dictconfig", "DictConfig"),
    ("omegaconf.listconfig", "ListConfig"),
    ("omegaconf.base", "Metadata"),
    ("omegaconf.base", "ContainerMetadata"),
    ("omegaconf.nodes", "AnyNode"),
    ("omegaconf.nodes", "IntegerNode"),
    ("omegaconf.nodes", "FloatNode"),
    ("omegaconf.nodes", "BooleanNode"),
    ("omegaconf.nodes", "StringNode"),
    ("pytorch_lightning.utilities.parsing", "AttributeDict"),
    ("lightning_fabric.utilities.data", "AttributeDict"),
    ("lightning.fabric.utilities.data", "AttributeDict"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
}


class _Unpickler(pickle._Unpickler):
    """The one in Python: the one in C reserves memory for the largest memo index a file names."""

    def __init__(self, file, storages):
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module, name):
        module = "builtins" if module == "__builtin__" else module  # its name in Python 2
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if (module, name) in _INERT:
            return type(name, (Inert,), {})
        raise WeightsError(
            f"it wants to call {module}.{name}, which is neither a tensor nor a plain container; "
            "nothing was run. If you trust the file, save its state dict alone with torch"
        )

    def persistent_load(self, identity):
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise WeightsError("a stored object that is not a tensor's storage")
        _, kind, key, _, count = identity[:5]
        if len(identity) > 5 and identity[5] is not None:
            raise WeightsError("a storage that is a view of another, of a very old torch")
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or type(count) is not int:
            raise WeightsError("a storage whose type, name or size makes no sense")
        storage = self._storages.setdefault(key, _Storage(kind.kind, key, count))
        if (storage.kind, storage.count) != (kind.kind, count):
            raise WeightsError(f"storage {key} is described in two ways")
        return storage


def _unpickle(path, file, storages):
    try:
        return _Unpickler(file, storages).load()
    except WeightsError as error:
        raise WeightsError(f"{path}: refused: {error}") from None
    except Exception as error:  # a damaged pickle may fail anywhere
        raise WeightsError(f"{path}: the pickle is damaged or cut short: {error}") from None


class _Archive:
    """A zip file whose every fault is a WeightsError.

    Entries must be stored plainly, as torch does: a compressed one could grow without bounds.
    """

    def __init__(self, path):
        self.path = path
        self._zip = self._guarded("the file", lambda: zipfile.ZipFile(path))
        self.names = self._zip.namelist()

    def _guarded(self, what, action):
        try:
            return action()
        except (
            zipfile.BadZipFile,
            OSError,
            ValueError,
            EOFError,
            RuntimeError,
            struct.error,
        ) as error:
            raise WeightsError(f"{self.path}: {what} is damaged or cut short: {error}") from None

    def size(self, name):
        if name not in self.names:
            raise WeightsError(f"{self.path}: {name} is missing")
        entry = self._zip.getinfo(name)
        if entry.compress_type != zipfile.ZIP_STORED:
            raise WeightsError(f"{self.path}: {name} is compressed, which torch never does")
        return entry.file_size

    def read(self, name):
        self.size(name)
        return self._guarded(name, lambda: self._zip.read(name))


def _read_zip(path):
    archive = _Archive(path)
    pickles = [n for n in archive.names if n == "data.pkl" or n.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError(f"{path}: expected one data.pkl in it, found {len(pickles)}")
    root = pickles[0][: -len("data.pkl")]
    if root + "constants.pkl" in archive.names:
        raise WeightsError(f"{path}: a TorchScript program, not a state dict")
    if root + "byteorder" in archive.names and archive.read(root + "byteorder") != b"little":
        raise WeightsError(f"{path}: written on a big-endian machine")

    def reader(storage):
        name, dtype = f"{root}data/{storage.key}", NUMPY_TYPES[storage.kind]
        if archive.size(name) != storage.count * dtype.itemsize:
            raise WeightsError(
                f"{path}: {name}: expected {storage.count * dtype.itemsize} bytes, found "
                f"{archive.size(name)}"
            )
        return lambda: np.frombuffer(archive.read(name), dtype)

    storages = {}
    content = _unpickle(path, io.BytesIO(archive.read(pickles[0])), storages)
    for storage in storages.values():
        storage.read = reader(storage)
    return content


def _read_legacy(path):
    storages = {}
    with open(path, "rb") as file:
        magic = _unpickle(path, file, storages)
        protocol = _unpickle(path, file, storages)
        if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL:
            raise WeightsError(f"{path}: neither a file of torch.save nor safetensors")
        system = _unpickle(path, file, storages)
        if not isinstance(system, dict) or not system.get("little_endian", False):
            raise WeightsError(f"{path}: written on a big-endian machine")
        content = _unpickle(path, file, storages)
        keys = _unpickle(path, file, storages)
        for key in keys if isinstance(keys, list) else []:
            storage = storages.get(key) if isinstance(key, str) else None
            found = file.read(8)
            if storage is None or len(found) != 8 or struct.unpack("<q", found)[0] != storage.count:
                raise WeightsError(f"{path}: storage {key} is damaged or cut short")
            _place_legacy_storage(path, file, storage)
    for storage in storages.values():
        if storage.read is None:
            raise WeightsError(f"{path}: storage {storage.key} is missing")
    return content


def _place_legacy_storage(path, file, storage):
    """Notes where the storage lies and goes past it."""
    start, dtype = file.tell(), NUMPY_TYPES[storage.kind]
    end = start + storage.count * dtype.itemsize
    if file.seek(0, io.SEEK_END) < end:
        raise WeightsError(f"{path}: cut short: storage {storage.key} ends at byte {end}")
    file.seek(end)
    storage.read = lambda: np.memmap(path, dtype, "r", start, (storage.count,))


MAX_SETTINGS = 100_000  # values; references to one list many times can multiply without bounds


def settings_of(content):
    """Hyperparameters as plain dictionaries, lists and values, without omegaconf and Namespace."""
    seen = 0

    def plain(value, depth):
        nonlocal seen
        seen += 1
        if depth > 50 or seen > MAX_SETTINGS:
            raise WeightsError("hyperparameters that are nested too deeply or are too many")
        if isinstance(value, Inert):
            value = value.state if value.state is not None else list(value.args)
            if isinstance(value, dict):  # omegaconf's containers and values
                value = value.get("_content", value.get("_val", value))
                if isinstance(value, Inert):
                    return plain(value, depth + 1)
        if isinstance(value, dict):
            return {key: plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item, depth + 1) for item in value]
        return value

    return plain(content, 0)


def read(path):
    """The content of a file of torch.save: containers with Tensors and Inert objects in them."""
    with open(path, "rb") as file:
        start = file.read(4)
    return _read_zip(path) if start == b"PK\x03\x04" else _read_legacy(path)


def read_options(path):
    """The options that torch_writer left in the file; none in a file from elsewhere."""
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return {}
    archive = _Archive(path)
    name = next((n for n in archive.names if n.endswith("/" + OPTIONS_RECORD)), None)
    try:
        options = json.loads(archive.read(name)) if name else {}
    except ValueError:
        raise WeightsError(f"{path}: {name} is damaged") from None
    return options if isinstance(options, dict) else {}
