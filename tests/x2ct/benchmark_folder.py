"""A folder in the form of LIDC-HDF5-256: simulated patients that are alike from no two sides."""

import h5py
import numpy as np

SIDE_MM = 320.0
# A bright ball to the patient's left, in front and up: x, y, z in mm, to the left, back and head.
MARKER_MM, MARKER_RADIUS_MM = (60.0, -50.0, 70.0), 26.0


def patient(voxels, seed):
    """CT numbers by z from head to feet, y from front to back, x from right to left."""
    random = np.random.default_rng(seed)
    step = SIDE_MM / voxels
    axis = (np.arange(voxels) - (voxels - 1) / 2) * step
    z, y, x = -axis[:, None, None], axis[None, :, None], axis[None, None, :]

    def inside(centre, radii):
        radii = [r * random.uniform(0.9, 1.1) for r in radii]
        return sum(((v - c) / r) ** 2 for v, c, r in zip((x, y, z), centre, radii)) < 1

    ct = np.zeros((voxels, voxels, voxels))
    ct[np.broadcast_to((x / 140) ** 2 + (y / 100) ** 2 < 1, ct.shape)] = 1060
    ct[inside((-62, 0, 20), (48, 66, 100))] = 170
    ct[inside((66, 0, 20), (42, 62, 90))] = 180
    ct[inside((22, -30, -20), (48, 42, 50))] = 1100
    ct[np.broadcast_to((x / 18) ** 2 + ((y - 72) / 18) ** 2 < 1, ct.shape)] = 1500
    ball = sum(((v - c) / MARKER_RADIUS_MM) ** 2 for v, c in zip((x, y, z), MARKER_MM)) < 1
    ct[ball] = 2600  # above the range, as metal is
    noise = random.normal(0, 8, ct.shape) * (ct > 0)
    return np.clip(np.rint(ct + noise), 0, 4000).astype(np.int16)


def film(ct, view, pixels):
    """Rows from head to feet; columns from the patient's right to left, or from front to back. The
    source is 541 mm behind the middle, or to the left of it, the film of 500 mm 949 mm from it."""
    voxels = ct.shape[0]
    place = (np.arange(pixels) - (pixels - 1) / 2) * (500 / pixels)
    depth = np.linspace(-SIDE_MM / 2, SIDE_MM / 2, 2 * voxels)
    total = np.zeros((pixels, pixels))
    for d in depth:
        wide = (541 - d) / 949  # of the film's coordinates, at this depth towards the source
        rows = np.rint(place * wide / (SIDE_MM / voxels) + (voxels - 1) / 2).astype(int)
        at = int(np.rint(d / (SIDE_MM / voxels) + (voxels - 1) / 2))
        plane = ct[:, min(max(at, 0), voxels - 1), :] if view == 0 else (
            ct[:, :, min(max(at, 0), voxels - 1)])  # fmt: skip
        seen = (rows >= 0) & (rows < voxels)
        total[np.ix_(seen, seen)] += plane[np.ix_(rows[seen], rows[seen])]
    return np.rint(255 * total / total.max()).astype(np.uint8)


def write_case(folder, name, seed, voxels=40, pixels=64, leave_out=()):
    """The frontal X-ray is stored mirrored, as the published script turns it."""
    ct = patient(voxels, seed)
    values = {"ct": ct, "ori_size": np.int64(320), "spacing": np.ones(3)}
    values["xray1"] = film(ct, 0, pixels)[:, ::-1]
    values["xray2"] = film(ct, 1, pixels)
    (folder / name).mkdir(parents=True)
    with h5py.File(folder / name / "ct_xray_data.h5", "w") as file:
        for key, value in values.items():
            if key not in leave_out:
                file[key] = value
