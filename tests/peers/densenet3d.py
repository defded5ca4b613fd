"""DenseNet3D: MONAI's, and the published one."""

import published_code
from peer_case import PeerCase, normal, torch_file

# name, channels, initial features, growth, blocks, classes, size; the last size is the smallest
# that the published code accepts for it, which pools a fixed window
SIZES = (
    ("four_blocks", 4, 16, 8, (2, 3, 2, 2), 1, (32, 64, 64)),
    ("three_blocks", 2, 12, 4, (3, 1, 2), 3, (20, 36, 28)),
)


def _monai(channels, features, growth, blocks, classes):
    """Two things differ from the published network: the first convolution's stride along D, which
    is set here, and names."""
    from monai.networks.nets import DenseNet

    model = DenseNet(3, channels, classes, features, growth, blocks)
    model.features.conv0.stride = (1, 2, 2)
    return model


def _published_names(state):
    rename = lambda n: n.replace(".layers.", ".").replace("class_layers.out.", "classifier.")
    return {rename(name): tensor for name, tensor in state.items()}


def _first(output):
    return output[0] if isinstance(output, tuple) else output


def _run(model, inputs):
    return {"logit": _first(model(inputs["x"]))}


def _case(name, model, inputs, save, training):
    # Dropout is random, so that there is none here.
    name = f"densenet3d_{name}" + ("_training" if training else "")
    return PeerCase(name, "densenet3d", model, inputs, _run, save, {"drop_rate": 0}, training)


def cases(reference):
    for i, (name, channels, features, growth, blocks, classes, size) in enumerate(SIZES):
        for training in (False, True):
            model = _monai(channels, features, growth, blocks, classes)
            inputs = {"x": normal(3, channels, *size, seed=400 + i)}
            save = torch_file("densenet3d.pt", _published_names)
            yield _case(name, model, inputs, save, training)
    if not reference:
        return
    # The published network pools a fixed window; this size leaves it a single voxel per axis.
    model = published_code.densenet(reference)(
        sample_duration=32,
        sample_size=64,
        num_channels=4,
        growth_rate=8,
        block_config=(3, 2, 4, 1),
        num_init_features=24,
        drop_rate=0,
        num_classes=1,
    )
    prefixed = lambda state: {"module.base_model." + n: t for n, t in state.items()}
    inputs = {"x": normal(2, 4, 32, 64, 64, seed=450)}
    yield _case("published", model, inputs, torch_file("classifier.pth.tar", prefixed), False)
