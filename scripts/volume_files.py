"""Volumes and pictures as x2ctpa reads them, written with numpy alone."""

import gzip
import os
import struct
import zlib

import numpy as np


def replace_file(path, data):
    """Writes beside the place and renames, so that a file that is there is whole."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "wb") as file:
        file.write(data)
    os.replace(path + ".part", path)


def write_nifti(path, hu, spacing_mm, description):
    """A CT (z, y, x) in whole HU, z from feet to head, y from front to back, x from the patient's
    right to left, its middle at the origin; `spacing_mm` is that of all three axes."""
    hu = np.ascontiguousarray(hu, dtype="<i2")
    depth, height, width = hu.shape
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, width, height, depth, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 4, 16)  # int16
    struct.pack_into("<8f", header, 76, 1, *(3 * [spacing_mm]), 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352, 1, 0)  # where values begin, slope, intercept
    header[123] = 2  # millimetres
    header[148 : 148 + 80] = description.encode("ascii")[:79].ljust(80, b"\0")
    # NIfTI's axes point to the right, the front and the head: x and y run against them.
    first = [0.5 * (n - 1) * spacing_mm for n in (width, height, depth)]
    origin = (first[0], first[1], -first[2])
    struct.pack_into("<2h", header, 252, 1, 1)
    struct.pack_into("<6f", header, 256, 0, 0, 1, *origin)  # a turn by 180 degrees about z
    struct.pack_into("<4f", header, 280, -spacing_mm, 0, 0, origin[0])
    struct.pack_into("<4f", header, 296, 0, -spacing_mm, 0, origin[1])
    struct.pack_into("<4f", header, 312, 0, 0, spacing_mm, origin[2])
    header[344:348] = b"n+1\0"
    replace_file(path, gzip.compress(bytes(header) + bytes(4) + hu.tobytes(), 4, mtime=0))


def write_png(path, grey):
    """A picture (rows, columns) of 8 bits."""
    grey = np.ascontiguousarray(grey, dtype=np.uint8)
    rows, columns = grey.shape

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    lines = b"".join(b"\0" + grey[row].tobytes() for row in range(rows))
    head = struct.pack(">2I5B", columns, rows, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    replace_file(path, b"\x89PNG\r\n\x1a\n" + parts)
