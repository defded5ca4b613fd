"""x2ctpa's model folders: config.yaml with the options, model.safetensors with the tensors."""

import os
import re

from . import safetensors_file
from .layout import option_text
from .tensors import WeightsError

CONFIG, WEIGHTS = "config.yaml", "model.safetensors"


def value_of(text):
    """An option's value as the program reads it: "true", "3", "1e-4", "[1, 2]" or a word."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1].strip()
        return [value_of(part) for part in inner.split(",")] if inner else []
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text.strip("\"'")


def write(folder, options, tensors):
    os.makedirs(folder, exist_ok=True)
    safetensors_file.write(os.path.join(folder, WEIGHTS), tensors)
    config = os.path.join(folder, CONFIG)
    with open(config + ".tmp", "w", encoding="utf-8") as file:
        file.writelines(f"{name}: {option_text(value)}\n" for name, value in options.items())
    os.replace(config + ".tmp", config)


def read(folder):
    """(options, tensors). Options in sections, as those of a whole denoiser, are refused."""
    options = {}
    path = os.path.join(folder, CONFIG)
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.split(" #")[0].rstrip()
            if not line or line.startswith("#"):
                continue
            name, colon, value = line.partition(":")
            if not colon or not value.strip() or line[0] == " ":
                raise WeightsError(
                    f'{path}: expected lines of one option each, found "{line}"; a model made of '
                    "several has no published layout"
                )
            options[name] = value_of(value)
    return options, safetensors_file.read(os.path.join(folder, WEIGHTS))[0]
