"""A file or folder of published weights: its tensors, and what it says about the model."""

import dataclasses
import json
import os

from . import safetensors_file, torch_file
from .tensors import Tensor, WeightsError

# The names that transformers, diffusers and open_clip give to their files, best first.
FOLDER_FILES = (
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)


@dataclasses.dataclass
class Source:
    name: str
    tensors: dict
    settings: object = None  # a Lightning checkpoint's hyper_parameters
    config: dict = dataclasses.field(default_factory=dict)  # of the json files beside the weights
    options: dict = dataclasses.field(default_factory=dict)  # ours, in a file that we wrote


def _state_dict(path, content, which):
    """(the state dict, what to call it) inside what a training program saved."""
    if isinstance(content, dict) and "model" in content and "ema" in content:
        return content[which], f"{path} ({which})"
    if isinstance(content, dict):
        for key in ("state_dict", "model", "model_state_dict", "unet_state_dict"):
            if isinstance(content.get(key), dict):
                return content[key], path
    return content, path


def read_any(path):
    """What the file holds: a dictionary of tensors, or what torch.save was given."""
    if not os.path.exists(path):
        raise WeightsError(f"{path} does not exist")
    if str(path).endswith(".safetensors"):
        return safetensors_file.read(path)[0]
    return torch_file.read(path)


def _own_options(path):
    if str(path).endswith(".safetensors"):
        text = safetensors_file.read(path)[1].get("x2ctpa", "{}")
        try:
            return json.loads(text)
        except ValueError:
            raise WeightsError(f"{path}: the metadata x2ctpa is damaged") from None
    return torch_file.read_options(path)


def _config_beside(path):
    """What config.json and, of how pictures are prepared, preprocessor_config.json say."""
    both = {}
    for name in ("preprocessor_config.json", "config.json"):
        config = os.path.join(os.path.dirname(path), name)
        if os.path.basename(path) not in FOLDER_FILES or not os.path.exists(config):
            continue
        with open(config, encoding="utf-8") as file:
            try:
                content = json.load(file)
            except ValueError as error:
                raise WeightsError(f"{config}: {error}") from None
        both.update(content if isinstance(content, dict) else {})
    return both


def read(path, which="ema"):
    path = str(path)
    if os.path.isdir(path):
        found = [name for name in FOLDER_FILES if os.path.exists(os.path.join(path, name))]
        if not found:
            raise WeightsError(f"{path}: expected one of {', '.join(FOLDER_FILES)} in it")
        path = os.path.join(path, found[0])
    content = read_any(path)
    tensors, name = _state_dict(path, content, which)
    if not isinstance(tensors, dict) or not all(isinstance(n, str) for n in tensors):
        raise WeightsError(f"{path}: holds no state dict, that is no tensors by name")
    others = [n for n, t in tensors.items() if not isinstance(t, Tensor)]
    if others:
        raise WeightsError(f'{path}: "{others[0]}" is not a tensor, in what should be a state dict')
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    return Source(
        name,
        dict(tensors),
        torch_file.settings_of(settings),
        _config_beside(path),
        _own_options(path),
    )
