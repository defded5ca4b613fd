"""A published model at random weights as one case of the folder format of check_vectors.sh: its
checkpoint, inputs and outputs, and the gradient of every parameter as a second checkpoint of the
same layout, so that one converter maps names and shapes of both."""

import dataclasses
import os
from collections.abc import Callable

import torch
from safetensors.torch import save_file


@dataclasses.dataclass
class PeerCase:
    name: str
    kind: str
    model: torch.nn.Module
    inputs: dict  # by name; the real ones get gradients too, unless `fixed` names them
    run: Callable  # (model, inputs) -> outputs by name
    save: Callable  # (state dict, folder) -> the name of the checkpoint in it
    settings: dict = dataclasses.field(default_factory=dict)  # further keys of cases.json
    training: bool = False
    fixed: tuple = ()


def randomise(model, seed):
    """Moves every tensor away from its initial value: zeros and ones would hide a swapped one."""
    generator = torch.Generator().manual_seed(seed)
    noise = lambda t: torch.randn(t.shape, generator=generator)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
                parameter.add_(noise(parameter) * max(0.1 * min(spread, 1.0), 0.02))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * noise(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))


def _outputs(case, inputs):
    case.model.train(case.training)
    return case.run(case.model, inputs)


def _gradients(case, seed):
    """(stored tensors, state dict with gradients in the place of parameters) of the sum of every
    output times a fixed random tensor."""
    leaves = {
        name: tensor.clone().requires_grad_(tensor.is_floating_point() and name not in case.fixed)
        for name, tensor in case.inputs.items()
    }
    generator = torch.Generator().manual_seed(seed)
    stored, loss = {}, 0
    for name, output in _outputs(case, leaves).items():
        stored["cotangent." + name] = torch.randn(output.shape, generator=generator)
        loss = loss + (output * stored["cotangent." + name]).sum()
    loss.backward()
    for name, leaf in leaves.items():
        if leaf.requires_grad:
            stored["gradient." + name] = leaf.grad
    gradients = dict(case.model.state_dict())
    for name, parameter in case.model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            none = torch.zeros_like(parameter)
            gradients[name] = none if parameter.grad is None else parameter.grad
    return stored, gradients


def _separate(tensors):
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def write_case(case, folder, seed=0):
    """Writes the case into `folder`; returns its entry of cases.json."""
    randomise(case.model, seed)
    weights = _separate(case.model.state_dict())  # training mode moves the statistics
    with torch.no_grad():
        outputs = _outputs(case, case.inputs)
    case.model.load_state_dict(weights)
    stored, gradients = _gradients(case, seed + 1)
    tensors = {**case.inputs, **outputs, **stored}
    save_file(_separate(tensors), os.path.join(folder, case.name + ".safetensors"))
    entry = {"kind": case.kind, "training": case.training, **case.settings}
    for key, state in (("checkpoint", weights), ("gradients", {**weights, **gradients})):
        place = os.path.join(folder, case.name, key)
        os.makedirs(place, exist_ok=True)
        entry[key] = os.path.join(case.name, key, case.save(_separate(state), place))
    return entry


def torch_file(name, wrap=lambda state: state):
    """A `save` that writes what torch.save makes of wrap(state)."""

    def save(state, folder):
        torch.save(wrap(state), os.path.join(folder, name))
        return name

    return save


def safetensors_file(name, config=None):
    """A `save` for safetensors; `config`: writes config.json beside it."""

    def save(state, folder):
        save_file(state, os.path.join(folder, name), {"format": "pt"})
        if config is not None:
            config.save_config(folder) if hasattr(config, "save_config") else (
                config.save_pretrained(folder)
            )
        return name

    return save


def normal(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
