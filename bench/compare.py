#!/usr/bin/env python3
"""Times x2ctpa against the published implementations: both run alternately on the same inputs and
weights in one run, and their outputs are compared. README.md tells how to run it.

    compare.py ROW... [--device cuda] [--reference DIR] [--rounds N] [--threads N] [--append FILE]
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
REAL = ROOT.parent / "shared" / "real"  # LIDC-IDRI-0001; see --real

# glibc keeps freed memory, as x2ctpa tells it to: no page faults on fresh buffers.
SAME_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

UNET = {"depth": 64, "side": 32, "batch": 1}
# 5 of the peer's 1000 steps are timed; the first predictions are compared.
DENOISE = {**UNET, "timed_steps": 5}
# The paper's VQ-GAN on a quarter of its rows and columns and half of its slices: the published
# codebook's matrix of distances and its one-hot matrix take 34 GB for the whole volume.
VQGAN = {"size": [64, 128, 128], "hidden": 16, "codes": 16384, "width": 8}
SERIES = {"series": "{real}/ct_dicom/LIDC-IDRI-0001_jpegls", "size": [128, 256, 256]}
DRR = {
    "volume": "{real}/ct_volume/LIDC-IDRI-0001_2mm.nii.gz",
    "size": 512,
    "source_to_detector_mm": 1800,
    "source_to_centre_mm": 1600,
    "detector_mm": 430,
    "view": "ap",  # as the peer's pose
    "method": "siddon",
    "mu_water_per_mm": 0.0206,
    "bone_gain": 1.45,
    "bone_from_hu": 100,
}
# row -> what it is, operation, settings, how outputs are compared, and up to which error
ROWS = {
    "unet": ("Unet3D forward, fp32", "unet-forward", UNET, "largest", 1e-4),
    "unet-bf16": (
        "Unet3D forward, ours in bf16",
        "unet-forward",
        {**UNET, "bf16": True},
        "norm",
        3e-2,
    ),
    "unet-train": ("Unet3D training step", "unet-train", UNET, "largest", 1e-3),
    "unet-graph": (
        "Unet3D forward, ours in bf16, a CUDA graph",
        "unet-forward",
        {**UNET, "bf16": True, "cuda_graph": True},
        "norm",
        3e-2,
    ),
    "denoise": (
        "latent of a volume, our default steps, the peer's 1000",
        "denoise",
        DENOISE,
        "largest",
        1e-4,
    ),
    "vqgan": ("VQ-GAN reconstruction", "vqgan-reconstruct", VQGAN, "norm", 1e-4),
    "vqgan-train": ("VQ-GAN training step", "vqgan-train", VQGAN, "largest", 1e-3),
    "vae-decode": ("SD-VAE decode, 4 slices", "vae-decode", {"slices": 4}, "largest", 1e-4),
    "vit": ("BiomedCLIP ViT-B/16, batch 4", "vit", {"batch": 4}, "largest", 1e-4),
    "vit-load": ("ViT-B/16 from its file", "vit-load", {"batch": 1}, "largest", 0),
    "densenet": (
        "DenseNet-121 3D, batch 2",
        "densenet",
        {"batch": 2, "depth": 64},
        "largest",
        1e-4,
    ),
    "resample": ("cubic resampling", "resample", SERIES, "hu", 1),
    "preprocess": ("DICOM series to voxels", "preprocess", SERIES, "hu", 1),
    "drr": ("DRR 512x512, both Siddon", "drr", DRR, "correlation", 0.99),
    "drr-trilinear": (
        "DRR, ours trilinear",
        "drr",
        {**DRR, "method": "trilinear"},
        "correlation",
        0.99,
    ),
    "drr-backward": (
        "gradient of the DRR with respect to the volume",
        "drr-backward",
        {**DRR, "method": "trilinear"},
        "correlation",
        0.95,  # two or three rays meet a voxel's side, so that exact lengths are rough
    ),
    "metrics": (
        "MAE, MSE, PSNR, SSIM",
        "metrics",
        {"size": [128, 256, 256], "data_range": 700},
        "largest",
        1e-4,
    ),
}
# row -> our operation that ours is also compared with, on the same inputs, and what it is
BESIDE = {"drr-backward": ("drr", "our own forward pass")}


class Worker:
    """A process that answers run, save and peak."""

    def __init__(self, command, extra_environment=()):
        environment = {**os.environ, **dict(extra_environment)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [str(part) for part in command]
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)
        self.answer("ready")

    def answer(self, expected=None):
        line = self.process.stdout.readline().strip()
        if not line or expected and line != expected:
            sys.exit(f"compare: {' '.join(self.process.args)} stopped: {line}")
        return line

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def run(self):
        return float(self.ask("run"))

    def peak_gib(self):
        return int(self.ask("peak")) / 2**30

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def error_of(ours, theirs, how):
    """The worst disagreement of two files of outputs, and how to print it."""
    from safetensors.torch import load_file

    ours, theirs = load_file(ours), load_file(theirs)
    errors = []
    for name, expected in theirs.items():
        a, b = ours[name].double(), expected.double()
        if a.shape != b.shape:
            sys.exit(f"compare: {name}: {tuple(a.shape)} of ours, {tuple(b.shape)} of the peer's")
        if how == "largest":
            errors.append(float((a - b).abs().max() / b.abs().max()))
        elif how == "norm":
            errors.append(float((a - b).norm() / b.norm()))
        elif how == "hu":
            errors.append(float((a - b).abs().max()))
        else:
            a, b = a - a.mean(), b - b.mean()
            errors.append(float((a * b).sum() / (a.norm() * b.norm())))
    return min(errors) if how == "correlation" else max(errors)


def shown(error, how):
    return f"{error:.4f}" if how == "correlation" else f"{error:.2g}"


def fits(error, how, limit):
    return error >= limit if how == "correlation" else error <= limit


def alternate(ours, peer, rounds):
    """Seconds of each, one round of warming up aside."""
    times = [(peer.run(), ours.run()) for _ in range(rounds + 1)]
    return times[1:]


def compare_once(operation, folder, rounds, environment, how):
    """(seconds of peer and ours, peaks, error) with the peer in one environment."""
    ours = Worker([args.bench_ops, operation, folder])
    peer = Worker(
        [sys.executable, "-W", "ignore", ROOT / "bench" / "peers.py", "serve", operation, folder],
        environment,
    )
    times = alternate(ours, peer, rounds)
    files = folder / "ours.safetensors", folder / "peer.safetensors"
    for worker, file in zip((ours, peer), files):
        worker.ask(f"save {file}")
    peaks = peer.peak_gib(), ours.peak_gib()
    ours.close()
    peer.close()
    return times, peaks, error_of(*files, how)


def text_of(times):
    ratios = sorted(peer / own for peer, own in times)
    peer, own = (statistics.median(t[i] for t in times) for i in (0, 1))
    return peer, own, f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


def compare_with_own(row, operation, folder, rounds):
    """A line that tells what the row's operation costs beside another of ours; empty without."""
    if row not in BESIDE:
        return ""
    other, name = BESIDE[row]
    workers = [Worker([args.bench_ops, o, folder]) for o in (other, operation)]
    times = alternate(*workers, rounds)
    for worker in workers:
        worker.close()
    seconds, own, ratio = text_of(times)
    return f"{ROWS[row][0]}: {ratio} times {name} ({seconds:.3g} s beside {own:.3g} s)"


def prepare(row, operation, settings, work):
    folder = work / row
    if (folder / "prepared").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        k: v.format(real=args.real) if isinstance(v, str) else v for k, v in settings.items()
    }
    settings |= {
        "threads": args.threads,
        "reference": args.reference,
        "device": args.device,
        "tf32": args.tf32,
    }
    (folder / "setup.json").write_text(json.dumps(settings))
    command = [
        sys.executable,
        "-W",
        "ignore",
        ROOT / "bench" / "peers.py",
        "prepare",
        operation,
        folder,
    ]
    subprocess.run([str(part) for part in command], check=True)
    (folder / "prepared").touch()
    return folder


def compare(row, work):
    """The row's line of the table, and whether the outputs agree."""
    title, operation, settings, how, limit = ROWS[row]
    folder = prepare(row, operation, settings, work)
    plain, peaks, error = compare_once(operation, folder, args.rounds, {}, how)
    if args.device != "cpu":
        good = fits(error, how, limit)
        peer, own, ratio = text_of(plain)
        return (
            f"| {title} | {1000 * peer:.3g} | {1000 * own:.3g} | {ratio} "
            f"| {peaks[0]:.2f} | {peaks[1]:.2f} "
            f"| {how} {shown(error, how)}{'' if good else ' DIFFERS'} |"
        ), good
    tuned, tuned_peaks, second = compare_once(operation, folder, args.rounds, SAME_ALLOCATOR, how)
    good = fits(error, how, limit) and fits(second, how, limit)
    peer, own, ratio = text_of(plain)
    peer_tuned, _, ratio_tuned = text_of(tuned)
    agreement = f"{how} {shown(error, how)}" + ("" if good else " DIFFERS")
    return (
        f"| {title} | {peer:.3g} | {peer_tuned:.3g} | {own:.3g} | {ratio} | {ratio_tuned} "
        f"| {peaks[0]:.2f} | {tuned_peaks[0]:.2f} | {max(peaks[1], tuned_peaks[1]):.2f} "
        f"| {agreement} |"
    ), good


HEADER = """| work | peer s | peer s, our allocator | ours s | ratio (range) \
| ratio, our allocator | peer GiB | peer GiB, our allocator | ours GiB | outputs |
|---|---|---|---|---|---|---|---|---|---|"""

GPU_HEADER = """| work | peer ms | ours ms | ratio (range) | peer GiB | ours GiB | outputs |
|---|---|---|---|---|---|---|"""


DRR_ROWS = ("drr", "drr-trilinear", "drr-backward")


def all_rows(device):
    """A CPU has no graphs; of what is no network, nothing runs on a GPU."""
    left_out = (
        {"unet-graph"}
        if device == "cpu"
        else {"vit-load", "resample", "preprocess", "metrics", *DRR_ROWS}
    )
    return [row for row in ROWS if row not in left_out]


def machine(threads):
    model = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "?"
    )
    return f"{model}, {threads} threads of {os.cpu_count()}, {platform.platform()}"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "rows", nargs="+", choices=[*ROWS, "all"], metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument(
        "--reference", help="a checkout of the published X-ray2CTPA code, for unet and vqgan"
    )
    parser.add_argument(
        "--real", default=str(REAL), help="folder with ct_dicom/LIDC-IDRI-0001_jpegls"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--device", default="cpu", choices=["cpu", "cuda"], help="cuda: the networks' rows alone"
    )
    parser.add_argument(
        "--tf32", action="store_true", help="both sides multiply float32 with TF32 on a GPU"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bench-ops", default=ROOT / "build" / "release" / "bench" / "bench_ops")
    parser.add_argument(
        "--this-python",
        action="store_true",
        help="the peers are in this Python, not in .venv-peers",
    )
    parser.add_argument("--work", help="a folder to keep weights and inputs in, for the next time")
    parser.add_argument("--prepare", action="store_true", help="write weights and inputs alone")
    parser.add_argument("--append", help="a file to add the lines to as well")
    return parser.parse_args()


def main():
    rows = all_rows(args.device) if "all" in args.rows else args.rows
    failed = False
    with tempfile.TemporaryDirectory(prefix="x2ctpa-bench-") as temporary:
        work = pathlib.Path(args.work or temporary)
        if args.prepare:
            for row in rows:
                _, operation, settings, _, _ = ROWS[row]
                prepare(row, operation, settings, work)
            return 0
        print(
            machine(args.threads),
            HEADER if args.device == "cpu" else GPU_HEADER,
            sep="\n",
            flush=True,
        )
        for row in rows:
            line, good = compare(row, work)
            failed |= not good
            print(line, flush=True)
            beside = compare_with_own(row, ROWS[row][1], work / row, args.rounds)
            if beside:
                print(beside, flush=True)
            if args.append:
                with open(args.append, "a", encoding="utf-8") as file:
                    file.write(line + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    if (
        "--this-python" not in sys.argv
        and pathlib.Path(sys.prefix).resolve() != PYTHON.parents[1].resolve()
    ):
        if not PYTHON.exists():
            sys.exit("compare: .venv-peers is missing; see bench/README.md")
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    args = arguments()
    sys.exit(main())
