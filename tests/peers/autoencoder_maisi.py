"""MAISI's autoencoder: MONAI's AutoencoderKlMaisi."""

from peer_case import PeerCase, normal, torch_file

# name, channels and residual blocks of each level, groups, latent channels, volume, splits
SIZES = (
    ("three_levels", (8, 16, 24), (2, 2, 2), 4, 4, (16, 12, 20), 1),
    ("two_levels", (16, 8), (1, 3), 4, 3, (10, 6, 14), 1),
    ("in_splits", (8, 8), (1, 1), 2, 4, (24, 32, 16), 2),
)


def _run(model, inputs):
    mean, sigma = model.encode(inputs["x"])
    return {"mean": mean, "logvar": 2 * sigma.log(), "decoded": model.decode(mean)}


def _model(widths, blocks, groups, latent, splits):
    from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi

    return AutoencoderKlMaisi(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        num_res_blocks=list(blocks),
        num_channels=list(widths),
        attention_levels=[False] * len(widths),
        latent_channels=latent,
        norm_num_groups=groups,
        norm_eps=1e-6,
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
        num_splits=splits,
        dim_split=1,
        norm_float16=False,
        print_info=False,
        save_mem=False,
    )


def cases(reference):
    for i, (name, widths, blocks, groups, latent, size, splits) in enumerate(SIZES):
        model = _model(widths, blocks, groups, latent, splits)
        # As NVIDIA publishes it.
        save = torch_file("autoencoder_v1.pt", lambda state: {"unet_state_dict": state})
        inputs = {"x": normal(2, 1, *size, seed=600 + i).sigmoid()}
        settings = {"norm_num_groups": groups}
        yield PeerCase(
            "autoencoder_maisi_" + name, "autoencoder_maisi", model, inputs, _run, save, settings
        )
