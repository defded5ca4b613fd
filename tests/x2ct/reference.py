"""The numbers of X2CT-GAN's test.py, by their formulas alone, and what they are taken from."""

import gzip
import struct
import zlib

import numpy as np


def read_nifti(path):
    """(values by z, y, x; the matrix from (x, y, z) of a voxel to NIfTI's millimetres)."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    width, height, depth = struct.unpack_from("<3h", data, 42)
    assert struct.unpack_from("<h", data, 70)[0] == 4, "int16"
    begin = int(struct.unpack_from("<f", data, 108)[0])
    values = np.frombuffer(data, "<i2", width * height * depth, begin)
    matrix = np.array([struct.unpack_from("<4f", data, 280 + 16 * row) for row in range(3)])
    return values.reshape(depth, height, width), matrix


def read_png(path):
    """An 8-bit grey picture without filters."""
    data = path.read_bytes()
    width, height = struct.unpack_from(">2I", data, 16)
    begin = data.index(b"IDAT")
    length = struct.unpack_from(">I", data, begin - 4)[0]
    lines = np.frombuffer(zlib.decompress(data[begin + 4 : begin + 4 + length]), np.uint8)
    return lines.reshape(height, width + 1)[:, 1:]


def window_sums(image):
    """Sums over every 7 x 7 window that lies within the image."""
    sums = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    sums[1:, 1:] = image.cumsum(0).cumsum(1)
    return sums[7:, 7:] - sums[:-7, 7:] - sums[7:, :-7] + sums[:-7, :-7]


def ssim(a, b):
    """Wang et al. 2004 with 7 x 7 equal weights and the sample covariance, values in [0, 1]."""
    n = 49
    mean_a, mean_b = window_sums(a) / n, window_sums(b) / n
    variance_a = (window_sums(a * a) - n * mean_a**2) / (n - 1)
    variance_b = (window_sums(b * b) - n * mean_b**2) / (n - 1)
    covariance = (window_sums(a * b) - n * mean_a * mean_b) / (n - 1)
    c1, c2 = 0.01**2, 0.03**2
    index = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    index /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return index.mean()


def psnr(mse, peak):
    return 100.0 if mse == 0 else 20 * np.log10(peak / np.sqrt(mse))


def numbers(real_hu, made_hu):
    """Of two volumes in HU, under the names of per_case.csv."""
    unit = [np.clip(hu + 1024.0, 0, 2500).astype(np.float32) / np.float32(2500) for hu in
            (real_hu, made_hu)]  # fmt: skip
    real, made = ((u * np.float32(2500)).astype(np.int32).astype(np.float64) for u in unit)
    a, b = (u.astype(np.float64) for u in unit)
    squares = (real - made) ** 2
    honest = (a - b) ** 2 * 2500**2
    by_axis = {"printed": [], "honest": [], "ssim": []}
    for axis in range(3):
        others = tuple(k for k in range(3) if k != axis)
        by_axis["printed"].append(np.mean([psnr(m, 4095) for m in squares.mean(others)]))
        by_axis["honest"].append(np.mean([psnr(m, 2500) for m in honest.mean(others)]))
        slices = zip(np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0))
        by_axis["ssim"].append(np.mean([ssim(x, y) for x, y in slices]))
    return {
        "x2ct_printed_planes_psnr_db": np.mean(by_axis["printed"]),
        "x2ct_printed_psnr_db": psnr(squares.mean(), 4095),
        "x2ct_planes_psnr_db": np.mean(by_axis["honest"]),
        "x2ct_psnr_db": psnr(honest.mean(), 2500),
        "x2ct_planes_ssim": np.mean(by_axis["ssim"]),
        "x2ct_mae_hu": np.abs(real - made).mean(),
        "x2ct_mse_hu2": squares.mean(),
        "x2ct_cosine": (a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)),
    }
