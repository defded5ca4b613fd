"""The image towers: open_clip's TimmModel around timm's VisionTransformer, as in BiomedCLIP, and
transformers' CLIPVisionModel and Dinov2Model, as in RAD-DINO."""

from functools import partial

from peer_case import PeerCase, normal, safetensors_file, torch_file
from torch import nn

# name, picture, patch, width, depth, heads, mlp ratio, embedding
TIMM = (
    ("tiny", 32, 8, 48, 2, 3, 4, 20),
    ("wide_mlp", 48, 16, 64, 3, 4, 6, 64),
    ("as_tiny", 64, 16, 192, 1, 3, 4, 32),
)
# name, picture, patch, width, depth, heads, width of the mlp
CLIP = (("three_layers", 42, 14, 48, 3, 3, 96), ("large_patch", 64, 32, 64, 2, 8, 128))

# name, picture of the positions, picture given, patch, width, depth, heads, mlp ratio
DINOV2 = (
    ("as_trained", 42, 42, 14, 48, 3, 3, 4),
    ("smaller_picture", 70, 42, 14, 32, 2, 4, 2),
    ("larger_picture", 16, 40, 8, 24, 1, 2, 4),
)


def _timm_run(model, inputs):
    features = model(inputs["x"])
    return {"features": features, "normalized": nn.functional.normalize(features, dim=-1)}


def _timm(name, image, patch, width, depth, heads, ratio, embedding, seed):
    from open_clip.timm_model import TimmModel
    from timm.models import register_model
    from timm.models.vision_transformer import VisionTransformer

    def vit_peer(pretrained=False, **given):
        model = VisionTransformer(
            img_size=image,
            patch_size=patch,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            mlp_ratio=ratio,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),  # as timm's own builders set it
        )
        model.default_cfg = {}
        return model

    vit_peer.__name__ = f"vit_peer_{name}"
    vit_peer.__module__ = __name__
    globals()[vit_peer.__name__] = vit_peer
    register_model(vit_peer)
    model = TimmModel(vit_peer.__name__, embedding, image_size=image, pool="", proj="linear")
    visual = lambda state: {"visual." + n: t for n, t in state.items()}
    inputs = {"x": normal(3, 3, image, image, seed=seed)}
    save = torch_file("open_clip_pytorch_model.bin", visual)
    return PeerCase(
        "biomedclip_vit_" + name, "biomedclip_vit", model, inputs, _timm_run, save, {"heads": heads}
    )


def _clip_run(model, inputs):
    out = model(pixel_values=inputs["x"])
    return {"last_hidden_state": out.last_hidden_state, "pooler_output": out.pooler_output}


def _clip(name, image, patch, width, depth, heads, mlp, seed):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        image_size=image,
        patch_size=patch,
    )
    inputs = {"x": normal(2, 3, image, image, seed=seed)}
    save = safetensors_file("model.safetensors", config)
    return PeerCase(
        "clip_vision_" + name, "clip_vision", CLIPVisionModel(config), inputs, _clip_run, save
    )


def _dinov2(name, trained, image, patch, width, depth, heads, ratio, seed):
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=width,
        mlp_ratio=ratio,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        image_size=trained,
        patch_size=patch,
    )
    model = Dinov2Model(config)
    inputs = {"x": normal(2, 3, image, image, seed=seed)}
    save = safetensors_file("model.safetensors", config)
    settings = {"image_size": image}
    return PeerCase("dinov2_" + name, "dinov2", model, inputs, _clip_run, save, settings)


def cases(reference):
    for i, size in enumerate(TIMM):
        yield _timm(*size, seed=300 + i)
    for i, size in enumerate(CLIP):
        yield _clip(*size, seed=320 + i)
    for i, size in enumerate(DINOV2):
        yield _dinov2(*size, seed=340 + i)
