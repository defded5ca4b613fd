"""PatchGAN discriminators: MONAI's, which the paper puts on latents, and with --reference those of
the published VQ-GAN."""

import published_code
from peer_case import PeerCase, normal, torch_file
from torch import nn


def _latent_run(model, inputs):
    features = model(inputs["x"])
    stages = {f"feature{i}": feature for i, feature in enumerate(features[:-1])}
    return stages | {"logits": features[-1]}


def _latent(name, channels, width, layers, kernel, size, training, seed):
    from monai.networks.nets import PatchDiscriminator

    model = PatchDiscriminator(
        spatial_dims=3,
        channels=width,
        in_channels=channels,
        out_channels=1,
        num_layers_d=layers,
        kernel_size=kernel,
    )
    inputs = {"x": normal(2, channels, *size, seed=seed)}
    save = torch_file("discriminator.pt")
    return PeerCase(
        "latent_discriminator_" + name,
        "latent_discriminator",
        model,
        inputs,
        _latent_run,
        save,
        {},
        training,
    )


class _Pair(nn.Module):
    def __init__(self, reference, channels, width, layers):
        super().__init__()
        flat, solid = published_code.vqgan_discriminators(reference)
        options = {"use_sigmoid": False, "getIntermFeat": True}
        self.image_discriminator = flat(channels, width, layers, nn.BatchNorm2d, **options)
        self.video_discriminator = solid(channels, width, layers, nn.BatchNorm3d, **options)

    def forward(self, x):
        middle = x[:, :, x.shape[2] // 2]
        return self.image_discriminator(middle)[0], *self.video_discriminator(x)


def _pair_run(model, inputs):
    slices, solid, features = model(inputs["x"])
    outputs = {f"disc2d_slice{inputs['x'].shape[2] // 2}": slices, "disc3d": solid}
    return outputs | {f"disc3d_feat{i}": feature for i, feature in enumerate(features)}


def cases(reference):
    yield _latent("small", 2, 8, 2, 3, (8, 12, 16), False, 600)
    yield _latent("small_training", 2, 8, 2, 3, (8, 12, 16), True, 601)
    yield _latent("as_published", 4, 4, 4, 3, (32, 32, 32), True, 602)
    if not reference:
        return
    for training in (False, True):
        model = _Pair(reference, 1, 6, 2)
        inputs = {"x": normal(2, 1, 24, 32, 40, seed=610)}
        name = "vqgan_discriminators" + ("_training" if training else "")
        save = torch_file("vqgan.ckpt", lambda state: {"state_dict": state})
        yield PeerCase(name, "discriminators", model, inputs, _pair_run, save, {}, training)
