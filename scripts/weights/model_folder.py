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


def yaml_lines(options, indent=""):
    """Options as the program writes them: sections as indented blocks."""
    for name, value in options.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:\n"
            yield from yaml_lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {option_text(value)}\n"


def write_options(path, options):
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        file.writelines(yaml_lines(options))
    os.replace(path + ".tmp", path)


def write(folder, options, tensors):
    os.makedirs(folder, exist_ok=True)
    safetensors_file.write(os.path.join(folder, WEIGHTS), tensors)
    write_options(os.path.join(folder, CONFIG), options)


def read_options(path):
    """The options of such a file; sections become dictionaries."""
    root = {}
    stack = [(-1, root)]  # (indent of its name, section)
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.split(" #")[0].rstrip()
            if not line or line.startswith("#"):
                continue
            name, colon, value = line.strip().partition(":")
            indent = len(line) - len(line.lstrip())
            while indent <= stack[-1][0]:
                stack.pop()
            section = stack[-1][1]
            if not colon or name in section:
                raise WeightsError(
                    f'{path}: expected "name: value", each name once, found "{line}"'
                )
            if value.strip():
                section[name] = value_of(value)
            else:
                section[name] = {}
                stack.append((indent, section[name]))
    return root


def read(folder):
    """(options, tensors)"""
    options = read_options(os.path.join(folder, CONFIG))
    return options, safetensors_file.read(os.path.join(folder, WEIGHTS))[0]
