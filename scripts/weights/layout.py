"""The strict comparison of a file's tensors with those of a model, and its report."""

import dataclasses
from collections.abc import Callable

import numpy as np

from .tensors import FLOATING, Tensor, WeightsError, as_float32, shape_text


@dataclasses.dataclass
class Entry:
    """One tensor of a model: our name and shape, and the published one's.

    `published` holds several names where the published model stores one tensor many times, the one
    that torch loads last at the end, and none where it has no such tensor; `value` makes ours then.
    """

    own: str
    shape: tuple
    published: tuple
    published_shape: tuple
    type: str = "F32"
    value: Callable[[], np.ndarray] | None = None


class Layout:
    """Every tensor of a model. Names of `add` are relative to nothing: give them whole."""

    def __init__(self):
        self.entries = []

    def add(self, own, published, shape, published_shape=None, type="F32"):
        names = (published,) if isinstance(published, str) else tuple(published)
        self.entries.append(Entry(own, tuple(shape), names, tuple(published_shape or shape), type))

    def constant(self, own, array):
        kind = "U8" if array.dtype == np.uint8 else "F32"
        self.entries.append(Entry(own, array.shape, (), array.shape, kind, lambda: array))

    def affine(self, own, published, channels):
        """weight and bias of a normalisation."""
        self.add(own + ".weight", published + ".weight", (channels,))
        self.add(own + ".bias", published + ".bias", (channels,))

    def batch_norm(self, own, published, channels):
        self.affine(own, published, channels)
        for name in ("running_mean", "running_var"):
            self.add(f"{own}.{name}", f"{published}.{name}", (channels,))
        self.add(own + ".num_batches_tracked", published + ".num_batches_tracked", (), (), "I64")

    def layer(self, own, published, weight_shape, bias=None):
        """weight and bias of a convolution or linear layer; `bias`: its size, None for no bias."""
        self.add(own + ".weight", published + ".weight", weight_shape)
        if bias is not None:
            self.add(own + ".bias", published + ".bias", (bias,))


class Report:
    """What became of every tensor. Problems make it fail."""

    def __init__(self, source, kind, options):
        self.source, self.kind, self.options = source, kind, options
        self.used, self.values, self.widened = 0, 0, 0
        self.aside = {}  # what they are -> how many
        self.notes = []
        self.missing, self.unexpected, self.shapes, self.others = [], [], [], []

    def fine(self):
        return not (self.missing or self.unexpected or self.shapes or self.others)

    def lines(self):
        yield f"source      {self.source}"
        yield f"kind        {self.kind}"
        yield "options     " + ", ".join(f"{k} {option_text(v)}" for k, v in self.options.items())
        yield f"used        {self.used} tensors, {self.values:,} values"
        if self.widened:
            yield f"widened     {self.widened} tensors of 16 bits to float32"
        for what, count in self.aside.items():
            yield f"left out    {count} tensors: {what}"
        for note in self.notes:
            yield f"note        {note}"
        for title, problems in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("shape", self.shapes),
            ("other", self.others),
        ):
            yield f"{title:<11} {len(problems)}"
            for problem in problems[:20]:
                yield f"            {problem}"
            if len(problems) > 20:
                yield f"            and {len(problems) - 20} more"
        yield "result      " + ("fits" if self.fine() else "does not fit; nothing was written")


def option_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(option_text(v) for v in value) + "]"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def to_own(layout, found, report):
    """Our tensors by name from `found`, the published ones; every problem goes into `report`."""
    own, taken = {}, set()
    for entry in layout.entries:
        taken.update(entry.published)
        if entry.value is not None:
            own[entry.own] = Tensor(entry.type, entry.shape, entry.value)
            continue
        absent = [name for name in entry.published if name not in found]
        report.missing += [f"{n} {shape_text(entry.published_shape)}" for n in absent]
        if absent:
            continue
        tensor = found[entry.published[-1]]
        if _check(entry.published[-1], tensor, entry.published_shape, entry.type, report):
            _check_copies(entry, found, report)
            own[entry.own] = _own_tensor(tensor, entry)
            report.used += len(entry.published)
            report.values += tensor.size()
            report.widened += tensor.type in ("F16", "BF16")
    report.unexpected += [f"{n} {shape_text(t.shape)}" for n, t in found.items() if n not in taken]
    return own


def _check(name, tensor, shape, kind, report):
    if tuple(tensor.shape) != tuple(shape):
        report.shapes.append(
            f"{name}: expected {shape_text(shape)}, found {shape_text(tensor.shape)}"
        )
    elif tensor.type != kind and not (kind == "F32" and tensor.type in ("F16", "BF16")):
        report.others.append(f"{name}: expected type {kind}, found {tensor.type}")
    elif tensor.type in FLOATING and not np.isfinite(as_float32(tensor)).all():
        report.others.append(f"{name}: holds values that are not finite")
    else:
        return True
    return False


def _check_copies(entry, found, report):
    """A tensor under many names should be the same under each; if not, torch keeps the last."""
    last = as_float32(found[entry.published[-1]]) if len(entry.published) > 1 else None
    for name in entry.published[:-1]:
        if found[name].shape != entry.published_shape:
            _check(name, found[name], entry.published_shape, entry.type, report)
        elif not np.array_equal(as_float32(found[name]), last):
            report.notes.append(f"{name} differs from {entry.published[-1]}, which is taken")


def _own_tensor(tensor, entry):
    if entry.type != "F32":
        return tensor.reshaped(entry.shape)
    return Tensor("F32", entry.shape, lambda: as_float32(tensor).reshape(entry.shape))


def to_published(layout, found, report):
    """The published tensors by name from `found`, ours."""
    published, taken = {}, set()
    for entry in layout.entries:
        taken.add(entry.own)
        if entry.own not in found:
            report.missing.append(f"{entry.own} {shape_text(entry.shape)}")
            continue
        tensor = found[entry.own]
        if not _check(entry.own, tensor, entry.shape, entry.type, report):
            continue
        if entry.value is not None and not np.array_equal(tensor.read(), entry.value()):
            report.others.append(f"{entry.own}: has no place in the published layout")
        report.used += 1
        report.values += tensor.size()
        for name in entry.published:
            published[name] = tensor.reshaped(entry.published_shape)
    report.unexpected += [f"{n} {shape_text(t.shape)}" for n, t in found.items() if n not in taken]
    return published


def shape_of(tensors, name, rank):
    """The shape of a tensor that an option is read from."""
    if name not in tensors:
        raise WeightsError(f"the tensor {name} is missing; are these weights of another model?")
    shape = tensors[name].shape
    if len(shape) != rank:
        raise WeightsError(f"{name}: expected {rank} dimensions, found {shape_text(shape)}")
    return shape


def count(tensors, pattern, start=0):
    """How many of pattern.format(start), pattern.format(start + 1), ... begin a tensor's name."""
    n = 0
    while any(name.startswith(pattern.format(start + n)) for name in tensors):
        n += 1
    return n


def without_prefix(tensors, prefix):
    return {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}
