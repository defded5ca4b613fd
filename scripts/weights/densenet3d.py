"""The DenseNet classifier of X-ray2CTPA, in DataParallel and LatentNetwork or alone."""

from .layout import Layout, count, shape_of
from .tensors import WeightsError

NAME = "densenet3d"
PREFIX = "module.base_model."
BLOCKS = {
    121: [6, 12, 24, 16],
    169: [6, 12, 32, 32],
    201: [6, 12, 48, 32],
    264: [6, 12, 64, 48],
}


def _without_wrappers(name):
    for wrapper in ("module.", "base_model."):
        if name.startswith(wrapper):
            name = name[len(wrapper) :]
    return name


def is_published(names):
    return is_own([_without_wrappers(n) for n in names])


def is_own(names):
    return {"features.conv0.weight", "features.norm5.weight", "classifier.weight"} <= set(names)


def select(tensors):
    return {_without_wrappers(n): t for n, t in tensors.items()}, {}


def options(t, given):
    first = shape_of(t, "features.conv0.weight", 5)
    layers = "features.denseblock{}.denselayer{}."
    blocks = []
    while n := count(t, f"features.denseblock{len(blocks) + 1}.denselayer{{}}.", start=1):
        blocks.append(n)
    growth = shape_of(t, layers.format(1, 1) + "conv2.weight", 5)[0]
    inner = shape_of(t, layers.format(1, 1) + "conv1.weight", 5)[0]
    if growth == 0 or inner % growth:
        raise WeightsError(f"a layer of {inner} channels is no multiple of the growth {growth}")
    depth = next((d for d, b in BLOCKS.items() if b == blocks), None)
    return {
        "depth": depth or 121,
        "blocks": [] if depth else blocks,
        "channels": first[1],
        "planar": first[2] == 1,
        "growth": growth,
        "init_features": first[0],
        "bottleneck": inner // growth,
        "drop_rate": given.get("drop_rate", 0.2),
        "classes": shape_of(t, "classifier.weight", 2)[0],
    }


def _conv(layout, name, out, width, kernel, planar):
    layout.layer(name, name, (out, width, 1 if planar else kernel, kernel, kernel))


def layout(o):
    all_of, width, planar = Layout(), o["init_features"], o["planar"]
    _conv(all_of, "features.conv0", width, o["channels"], 7, planar)
    all_of.batch_norm("features.norm0", "features.norm0", width)
    blocks = o["blocks"] or BLOCKS[o["depth"]]
    inner = o["bottleneck"] * o["growth"]
    for i, layers in enumerate(blocks, 1):
        for j in range(1, layers + 1):
            place = f"features.denseblock{i}.denselayer{j}"
            all_of.batch_norm(place + ".norm1", place + ".norm1", width)
            _conv(all_of, place + ".conv1", inner, width, 1, planar)
            all_of.batch_norm(place + ".norm2", place + ".norm2", inner)
            _conv(all_of, place + ".conv2", o["growth"], inner, 3, planar)
            width += o["growth"]
        if i < len(blocks):
            place = f"features.transition{i}"
            all_of.batch_norm(place + ".norm", place + ".norm", width)
            _conv(all_of, place + ".conv", width // 2, width, 1, planar)
            width //= 2
    all_of.batch_norm("features.norm5", "features.norm5", width)
    all_of.layer("classifier", "classifier", (o["classes"], width), o["classes"])
    return all_of


def published_content(tensors):
    return {PREFIX + name: tensor for name, tensor in tensors.items()}, lambda flat: flat
