#!/usr/bin/env python3
"""Small sound files of every kind, from which scripts/fuzz.sh starts.

make_seeds.py FOLDER        writes FOLDER/<target>/<seed>
"""

import gzip
import io
import json
import pathlib
import struct
import sys
import tarfile
import zipfile
import zlib

SIDE = 34
PIXELS = bytes((x * 7 + y * 3) % 251 for y in range(SIDE) for x in range(SIDE))
WORDS = b"".join(struct.pack("<H", value * 16) for value in PIXELS)

IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG, RLE = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.5",
)


def element(tag, vr, value, syntax=EXPLICIT):
    """One element with its value as bytes; a value of None has an undefined length."""
    order = ">" if syntax == BIG else "<"
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    length = 0xFFFFFFFF if value is None else len(value)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", length) + (value or b"")
    if vr in ("OB", "OW", "SQ", "UN", "UT"):
        return head + vr.encode() + b"\0\0" + struct.pack(order + "I", length) + (value or b"")
    return head + vr.encode() + struct.pack(order + "H", length) + value


def text(value):
    return value.encode() + (b" " if len(value) % 2 else b"")


def item(value, syntax=EXPLICIT):
    order = ">" if syntax == BIG else "<"
    return struct.pack(order + "HHI", 0xFFFE, 0xE000, len(value)) + value


def open_sequence(tag, vr, content):
    return element(tag, vr, None) + content + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def fragments(parts):
    return open_sequence(0x7FE00010, "OB", item(b"") + b"".join(item(p) for p in parts))


def rle(values):
    """RLE (PS3.5, annex G) of 16-bit words: two segments of literal runs."""

    def segment(plane):
        runs = (plane[i : i + 128] for i in range(0, len(plane), 128))
        coded = b"".join(bytes([len(run) - 1]) + run for run in runs)
        return coded + b"\0" * (len(coded) % 2)

    high, low = segment(values[1::2]), segment(values[::2])
    return struct.pack("<16I", 2, 64, 64 + len(high), *[0] * 13) + high + low


def jpeg(side=40):
    """A grey baseline JPEG in which each block is a zero difference and nothing more."""
    blocks = (-(-side // 8)) ** 2
    table = bytes([1] + [0] * 15 + [0])
    scan = bytes(-(-blocks * 2 // 8))

    def segment(marker, data):
        return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data

    return (
        b"\xff\xd8"
        + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
        + segment(0xDB, b"\0" + b"\1" * 64)
        + segment(0xC0, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
        + segment(0xC4, b"\0" + table)
        + segment(0xC4, b"\x10" + table)
        + segment(0xDA, b"\1\1\0\0\x3f\0")
        + scan
        + b"\xff\xd9"
    )


def ct_elements(syntax, frames=1, modality="CT", bits=16):
    order = ">" if syntax == BIG else "<"

    def word(value):
        return struct.pack(order + "H", value)

    sop = {"CT": "1.2.840.10008.5.1.4.1.1.2", "DX": "1.2.840.10008.5.1.4.1.1.1.1"}[modality]
    fields = [
        (0x00080008, "CS", text("ORIGINAL\\PRIMARY\\AXIAL")),
        (0x00080016, "UI", text(sop)),
        (0x00080018, "UI", text("1.2.3")),
        (0x00080060, "CS", text(modality)),
        (0x00100020, "LO", text("patient")),
        (0x00180050, "DS", text("1.5")),
        (0x0020000D, "UI", text("1.2.4")),
        (0x0020000E, "UI", text("1.2.5")),
        (0x00200013, "IS", text("1")),
        (0x00200032, "DS", text("-1\\-2\\3")),
        (0x00200037, "DS", text("1\\0\\0\\0\\1\\0")),
        (0x00280002, "US", word(1)),
        (0x00280004, "CS", text("MONOCHROME2")),
        (0x00280008, "IS", text(str(frames))),
        (0x00280010, "US", word(SIDE)),
        (0x00280011, "US", word(SIDE)),
        (0x00280030, "DS", text("0.7\\0.7")),
        (0x00280100, "US", word(bits)),
        (0x00280101, "US", word(min(bits, 12))),
        (0x00280102, "US", word(min(bits, 12) - 1)),
        (0x00280103, "US", word(0)),
        (0x00281050, "DS", text("40")),
        (0x00281051, "DS", text("400")),
        (0x00281052, "DS", text("-1024")),
        (0x00281053, "DS", text("1")),
    ]
    return b"".join(element(*field, syntax) for field in fields)


def dicom(syntax, data_set):
    body = element(0x00020001, "OB", b"\0\1") + element(
        0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2)
    )
    meta = element(0x00020000, "UL", struct.pack("<I", len(body))) + body
    return bytes(128) + b"DICM" + meta + data_set


def dicom_files():
    swapped = b"".join(WORDS[i + 1 : i + 2] + WORDS[i : i + 1] for i in range(0, len(WORDS), 2))
    yield (
        "implicit",
        dicom(IMPLICIT, ct_elements(IMPLICIT) + element(0x7FE00010, "OW", WORDS, IMPLICIT)),
    )
    yield "big", dicom(BIG, ct_elements(BIG) + element(0x7FE00010, "OW", swapped, BIG))
    plain = ct_elements(EXPLICIT) + element(0x7FE00010, "OW", WORDS)
    yield "explicit", dicom(EXPLICIT, plain)
    yield "no-magic", plain
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    yield "deflated", dicom(DEFLATED, packer.compress(plain) + packer.flush())
    yield "rle", dicom(RLE, ct_elements(RLE) + fragments([rle(WORDS)]))
    picture = ct_elements(JPEG, modality="DX", bits=8).replace(
        struct.pack("<H", SIDE), struct.pack("<H", 40)
    )
    yield "jpeg", dicom(JPEG, picture + fragments([jpeg(40)]))
    place = element(0x00200032, "DS", text("0\\0\\1"))
    frame = item(open_sequence(0x00209113, "SQ", item(place)))
    groups = open_sequence(0x52009229, "SQ", frame) + open_sequence(0x52009230, "SQ", frame * 3)
    yield (
        "enhanced",
        dicom(EXPLICIT, ct_elements(EXPLICIT, 3) + groups + element(0x7FE00010, "OW", WORDS * 3)),
    )
    lut = element(0x00283002, "US", struct.pack("<3H", 256, 0, 16)) + element(
        0x00283006, "OW", WORDS[:512]
    )
    yield (
        "lut",
        dicom(
            EXPLICIT,
            ct_elements(EXPLICIT, modality="DX")
            + open_sequence(0x00283000, "SQ", item(lut))
            + open_sequence(0x00283010, "SQ", item(lut))
            + element(0x7FE00010, "OW", WORDS),
        ),
    )


def nifti(packed=False, second=False, extension=b""):
    dims = (3, 4, 3, 2, 1, 1, 1, 1)
    voxels = bytes(4 * 3 * 2 * 2)
    offset = (544 if second else 352) + len(extension)
    geometry = (1.0, 0, 0, -5.0, 0, 1.0, 0, -6.0, 0, 0, 2.0, 7.0)
    if second:
        head = struct.pack("<i8s2h8q3d", 540, b"n+2\0\r\n\x1a\n", 4, 16, *dims, 0, 0, 0)
        head += struct.pack("<8dq2d", 1, 1, 1, 2, 0, 0, 0, 0, offset, 1, 0)
        head = head.ljust(344, b"\0") + struct.pack("<2i6d12d", 1, 1, 0, 0, 0, -5, -6, 7, *geometry)
        head = (head + struct.pack("<2i", 0, 2)).ljust(540, b"\0")
    else:
        head = struct.pack("<i35xB8h", 348, 0, *dims) + bytes(14) + struct.pack("<4h", 4, 16, 0, 0)
        head = (
            head[:76]
            + struct.pack("<8f", 1, 1, 1, 2, 0, 0, 0, 0)
            + struct.pack("<3f", offset, 1, 0)
        )
        head = head.ljust(123, b"\0") + b"\2" + bytes(24) + b"seed".ljust(104, b"\0")
        head += struct.pack("<2h6f12f", 1, 1, 0, 0, 0, -5, -6, 7, *geometry) + bytes(16) + b"n+1\0"
    whole = head + (b"\1\0\0\0" if extension else bytes(4)) + extension + voxels
    return gzip.compress(whole, mtime=0) if packed else whole


def nrrd(encoding):
    data = bytes(range(24)) * 2
    coded = {"raw": data, "gzip": gzip.compress(data, mtime=0), "ascii": b"7 " * 24}[encoding]
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\n"
        "space directions: (1,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\n"
        f"endian: little\nencoding: {encoding}\nspace origin: (1,2,3)\n\n"
    )
    return head.encode() + coded


def metaimage(compressed):
    data = bytes(range(24)) * 2
    coded = zlib.compress(data) if compressed else data
    size = f"CompressedDataSize = {len(coded)}\n" if compressed else ""
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"CompressedData = {compressed}\n{size}TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        "Offset = 1 2 3\nElementSpacing = 1 2 3\nDimSize = 4 3 2\nElementType = MET_SHORT\n"
        "ElementDataFile = LOCAL\n"
    )
    return head.encode() + coded


def png(bits, colour):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = -(-SIDE * bits * channels // 8)
    data = b"".join(b"\0" + bytes((x * y) % 256 for x in range(row)) for y in range(SIDE))

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    palette = chunk(b"PLTE", bytes(range(192)) * 4) if colour == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">2I5B", SIDE, SIDE, bits, colour, 0, 0, 0))
        + palette
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def tiff(bits, packed=False, orientation=1):
    data = PIXELS if bits == 8 else WORDS
    coded = zlib.compress(data) if packed else data
    tags = [
        (256, 3, SIDE), (257, 3, SIDE), (258, 3, bits), (259, 3, 8 if packed else 1), (262, 3, 1),
        (273, 4, 8), (274, 3, orientation), (277, 3, 1), (278, 3, SIDE), (279, 4, len(coded)),
    ]  # fmt: skip
    directory = struct.pack("<H", len(tags))
    for tag, kind, value in tags:
        directory += struct.pack("<HHII", tag, kind, 1, value)
    return b"II*\0" + struct.pack("<I", 8 + len(coded)) + coded + directory + bytes(4)


def archives():
    for name, method in (("stored", zipfile.ZIP_STORED), ("packed", zipfile.ZIP_DEFLATED)):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", method) as out:
            for path in ("a/b.txt", "c.txt"):
                out.writestr(zipfile.ZipInfo(path), "12" * 40)
        yield name, made.getvalue()
    for name, mode in (("tar", "w"), ("tar-gz", "w:gz")):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode=mode) as out:
            entry = tarfile.TarInfo("a/b.txt")
            entry.size = 4
            out.addfile(entry, io.BytesIO(b"1234"))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            out.addfile(link)
        yield name, made.getvalue()


def safetensors(metadata):
    header = {"__metadata__": metadata} if metadata else {}
    header["a"] = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    header["b"] = {"dtype": "U8", "shape": [3], "data_offsets": [24, 27]}
    coded = json.dumps(header).encode()
    return struct.pack("<Q", len(coded)) + coded + bytes(27)


TABLES = {
    "manifest": {
        "paths": "id,patient_id,ct,cxr,pe,split,lung_mask\na,p,a.nii,a.png,1,train,m\nb,,b,,0,,\n",
        "centre": "ct;cxr;cxr_centre_x_mm;cxr_centre_y_mm;cxr_centre_z_mm\na;b;1;2;3,5\n",
        "accession": "CT_Accession_number,cxr_Accession_number,PE,split\n1,34.0,1,train\n13,,0,\n",
        "lidc": "Subject ID,Modality,Series UID,File Location\nL-1,CT,1.2,.\\L-1\nL-1,DX,1,x\n",
        "rspect": "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,negative_exam_for_pe,"
        "indeterminate\n1.2,1.3,1.4,0,0\n1.2,1.3,1.5,0,0\n2.2,2.3,2.4,1,1\n",
    },
    "splits": {"a": "id,patient_id,split,fold\na,p,train,0\nb,q,val,1\nc,r,test,\n"},
    "scores": {
        "a": "study_id,patient_id,label,score,split,fold,threshold\na,p,1,0.9,test,,0.5\n"
        "b,q,0,0.1,test,,0.5\nc,r,1,0.7,val,,0.5\nd,s,0,nan,val,,\ne,t,unknown,0.1,test,,\n",
        "b": "study_id;label;score\na;1;2\nb;0;-1e300\nc;0;1e5\nd;1;.5\n",
    },
    "csv": {"a": 'a,b\n1,"x,""y"\n"=1+1","-3"\n', "b": "\ufeffa\tb\r\n'=1\t'\r\n"},
    "experiment": {
        "a": "runtime:\n  seed: 3\npreprocess:\n  grid: [8, 16, 16]\n  cxr_size: 64\n"
        "  series:\n    prefer: [pe, cta]\n",
        "b": "preprocess: &a\n  window_min_hu: -200\nphantom: {patients: 3}\n# nothing\n",
    },
}


def dataset():
    index = "id,patient_id,split,pe,ct,cxr\na,p,train,1,ct/a.nii,cxr/a.png\nb,q,test,,ct/b.nii,\n"
    fields = {f"grid_{axis}": 8 for axis in ("depth", "height", "width")}
    fields |= {f"typical_spacing_{axis}_mm": 2.5 for axis in "xyz"}
    fields |= {"window_min_hu": -200, "window_max_hu": 500, "modality": "CT", "unit": "HU"}
    fields |= {"intensity": "window", "source": "cxr", "cxr_size": 16, "cxr_mean": 0.5}
    fields |= {"cxr_std": 0.25, "source_to_detector_mm": 1800, "source_to_centre_mm": 1500}
    fields |= {"detector_mm": 400, "hash": "00"}
    return (json.dumps(fields) + "\n---\n" + index).encode()


def seeds():
    for name, content in dicom_files():
        yield "dicom", name, content
        yield "dicom_walk", name, content
    volumes = {
        "first": nifti(),
        "packed": nifti(packed=True),
        "second": nifti(second=True),
        "extended": nifti(extension=struct.pack("<2i", 32, 6) + b"comment".ljust(24, b"\0")),
    }
    for name, content in volumes.items():
        yield "nifti", name, content
        yield "summary", name, content
    for encoding in ("raw", "gzip", "ascii"):
        yield "nrrd", encoding, nrrd(encoding)
        yield "summary", "nrrd-" + encoding, nrrd(encoding)
    for compressed in (False, True):
        yield "metaimage", str(compressed), metaimage(compressed)
        yield "summary", f"metaimage-{compressed}", metaimage(compressed)
    for bits, colour in ((8, 0), (16, 0), (1, 0), (8, 2), (8, 3), (8, 4), (16, 6)):
        yield "picture", f"png-{bits}-{colour}", png(bits, colour)
    yield "picture", "jpeg", jpeg()
    for bits, packed, orientation in ((8, False, 1), (16, False, 1), (16, True, 1), (8, False, 6)):
        yield "picture", f"tiff-{bits}-{packed}-{orientation}", tiff(bits, packed, orientation)
    for name, content in archives():
        yield "archive", name, content
    for name, metadata in (("plain", {}), ("described", {"step": "3", "settings": "a: 1"})):
        yield "safetensors", name, safetensors(metadata)
        yield "checkpoint", name, safetensors(metadata)
    yield "dataset", "a", dataset()
    for target, tables in TABLES.items():
        for name, content in tables.items():
            yield target, name, content.encode()


def main():
    root = pathlib.Path(sys.argv[1])
    for target, name, content in seeds():
        (root / target).mkdir(parents=True, exist_ok=True)
        (root / target / name).write_bytes(content)


if __name__ == "__main__":
    main()
