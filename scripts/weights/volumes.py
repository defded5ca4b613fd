"""What a published autoencoder takes for a volume; our file volumes.yaml holds it.

axes are ours (1: D upwards, 2: H from front to back, 3: W from the patient's right to left) in the
order of the published arrays, negative where those run the other way.
"""

import os

from . import model_folder

FILE = "volumes.yaml"
FORMS = {
    # The program's own axes, the dataset's window as [-1, 1]: nothing is written.
    "own": None,
    # dataset/lidc.py of DVG-Diffusion: HU + 1024 of X2CT-GAN's arrays, which run downwards,
    # clipped to 0..2500, as [0, 1].
    "dvg": {
        "axes": [-1, 2, 3],
        "low": 0,
        "high": 1,
        "window_min_hu": -1024,
        "window_max_hu": 1476,
    },
    # scripts/transforms.py of NV-Generate-CTMR: orientation RAS, -1000..1000 HU as [0, 1].
    "maisi": {
        "axes": [-3, -2, 1],
        "low": 0,
        "high": 1,
        "window_min_hu": -1000,
        "window_max_hu": 1000,
    },
}


def read(folder):
    """The form of one of our folders; None where it has none."""
    path = os.path.join(folder, FILE)
    return model_folder.read_options(path) if os.path.exists(path) else None


def write(folder, form):
    """Writes it, or removes one that lies there."""
    path = os.path.join(folder, FILE)
    if form:
        model_folder.write_options(path, form)
    elif os.path.exists(path):
        os.remove(path)
