"""LPIPS: the lpips package, with a random VGG-16 instead of a downloaded one."""

from peer_case import PeerCase, normal, safetensors_file


def _run(model, inputs):
    return {"distance": model(inputs["x"], inputs["y"]).flatten()}


def cases(reference):
    from lpips import LPIPS

    for i, (name, size) in enumerate((("square", (32, 32)), ("oblong", (50, 35)))):
        model = LPIPS(pretrained=False, net="vgg", pnet_rand=True, pnet_tune=True, verbose=False)
        inputs = {
            key: normal(2, 3, *size, seed=500 + 2 * i + j).clamp(-1, 1)
            for j, key in enumerate("xy")
        }
        save = safetensors_file("lpips.safetensors")
        yield PeerCase("lpips_" + name, "lpips", model, inputs, _run, save)
