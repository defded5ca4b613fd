#!/usr/bin/env python3
"""Time and memory of x2ctpa against the size of its work: a forward of the U-Net, beside the count
of operations and the machine's measured peak, and `evaluate` against the number of cases. README.md
tells how to build and run it.

    growth.py [--rounds N] [--threads N] [--plot FILE.png]
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
BASE = {"depth": 64, "side": 32, "batch": 1}
AXES = {"depth": (16, 32, 64, 128), "side": (16, 32, 48, 64), "batch": (1, 2, 4)}
CASES = (4, 16, 64)
CASE_SIZE = (128, 128, 64)  # voxels x, y, z


def operations_of(setting):
    """Multiplications and additions of a forward of the published Unet3D, as LibTorch counts."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    batch, depth, side = (setting[n] for n in ("batch", "depth", "side"))
    model = peers.UnetForward.model({})
    given = torch.zeros(batch, 4, depth, side, side), torch.zeros(batch, dtype=torch.long)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*given, cond=torch.zeros(batch, 512))
    return counter.get_total_flops()


def best_rate(run, operations, rounds=5):
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return operations / min(times[1:])


def peaks(threads):
    """Operations per second of a large matrix product and of a convolution, fp32."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.randn(2, 2048, 2048)
    x = torch.randn(16, 128, 64, 64).to(memory_format=torch.channels_last)
    conv = torch.nn.Conv2d(128, 128, 3, padding=1).to(memory_format=torch.channels_last)
    with torch.no_grad():
        gemm = best_rate(lambda: a @ b, 2 * 2048**3)
        convolution = best_rate(lambda: conv(x), 2 * 16 * 64 * 64 * 128 * 128 * 9)
    return gemm, convolution


def measure(setting, folder):
    """(median seconds, peak GiB) of our forward."""
    folder.mkdir()
    settings = {**setting, "threads": args.threads, "reference": None}
    (folder / "setup.json").write_text(json.dumps(settings))
    peers.prepare("unet-forward", folder)
    worker = compare.Worker([args.bench_ops, "unet-forward", folder])
    times = [worker.run() for _ in range(args.rounds + 1)][1:]
    peak = worker.peak_gib()
    worker.close()
    return statistics.median(times), peak


def write_cases(folder, count):
    """Pairs of volumes of noise in HU, the generated one with more noise than the true one."""
    import nibabel
    import numpy as np

    random = np.random.default_rng(0)
    for i in range(count):
        real = random.uniform(-200, 500, CASE_SIZE).astype(np.float32)
        generated = real + random.normal(0, 50, CASE_SIZE).astype(np.float32)
        for name, voxels in (("real", real), ("generated", generated)):
            (folder / name).mkdir(exist_ok=True)
            nibabel.save(
                nibabel.Nifti1Image(voxels, np.diag([2.5, 2.5, 2.5, 1])),
                folder / name / f"case{i:03}.nii",
            )


def measure_cases(count, folder):
    """(seconds, peak GiB) of `evaluate`, its report included."""
    folder.mkdir()
    write_cases(folder, count)
    command = [
        args.x2ctpa,
        "evaluate",
        "-q",
        "--generated",
        folder / "generated",
        "--real",
        folder / "real",
        "--out",
        folder / "out",
        "--threads",
        args.threads,
    ]
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:  # what getrusage() tells of children counts this process, too
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        except OSError:
            break
        peak = max(
            [
                peak,
                *(
                    int(line.split()[1])
                    for line in status.splitlines()
                    if line.startswith("VmHWM:")
                ),
            ]
        )
        time.sleep(0.005)
    if process.wait() != 0:
        sys.exit(f"growth: {command[0]} evaluate failed")
    return time.perf_counter() - start, peak / 2**20


def plot(rows, cases, gemm, file):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4, figsize=(12, 5.5))
    for column, axis in enumerate(AXES):
        mine = [r for r in rows if r["axis"] == axis]
        x = [r["value"] for r in mine]
        top, bottom = axes[0][column], axes[1][column]
        top.plot(x, [r["seconds"] for r in mine], "o-", label="measured")
        top.plot(x, [r["operations"] / gemm for r in mine], "--", label="operations / GEMM peak")
        bottom.plot(x, [r["gib"] for r in mine], "o-")
        top.set_title(f"U-Net: latent's {axis}")
    axes[0][3].plot(CASES, [seconds for seconds, _ in cases], "o-")
    axes[1][3].plot(CASES, [gib for _, gib in cases], "o-")
    axes[0][3].set_title("evaluate: cases")
    for each in axes.flat:
        each.set_ylim(0, 1.1 * each.dataLim.y1)
        each.grid(alpha=0.3)
    axes[0][0].set_ylabel("seconds")
    axes[1][0].set_ylabel("peak memory, GiB")
    axes[0][0].legend()
    figure.suptitle(
        f"{args.threads} threads, fp32. A forward of the U-Net, its other sizes 64 deep, 32 wide, "
        "batch 1; "
        f"evaluate on volumes of {' x '.join(map(str, CASE_SIZE))} voxels"
    )
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main():
    gemm, convolution = peaks(args.threads)
    print(compare.machine(args.threads))
    print(f"peak: GEMM {gemm / 1e9:.0f}, convolution {convolution / 1e9:.0f} GFLOP/s")
    print(
        "| depth | side | batch | GFLOP | s | GFLOP/s | of GEMM peak | GiB |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    rows, known = [], {}
    with tempfile.TemporaryDirectory(prefix="x2ctpa-growth-") as work:
        for axis, values in AXES.items():
            for value in values:
                setting = {**BASE, axis: value}
                key = tuple(setting.values())
                if key not in known:
                    seconds, gib = measure(setting, pathlib.Path(work) / f"{axis}{value}")
                    operations = operations_of(setting)
                    known[key] = {"seconds": seconds, "gib": gib, "operations": operations}
                    rate = operations / seconds
                    cells = (
                        *key,
                        f"{operations / 1e9:.1f}",
                        f"{seconds:.3f}",
                        f"{rate / 1e9:.0f}",
                        f"{rate / gemm:.0%}",
                        f"{gib:.2f}",
                    )
                    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
                rows.append({"axis": axis, "value": value, **known[key]})
        print("| cases | s | GiB |\n|---|---|---|")
        cases = []
        for count in CASES:
            cases.append(measure_cases(count, pathlib.Path(work) / f"cases{count}"))
            print(f"| {count} | {cases[-1][0]:.2f} | {cases[-1][1]:.2f} |", flush=True)
    if args.plot:
        plot(rows, cases, gemm, args.plot)


if __name__ == "__main__":
    if pathlib.Path(sys.prefix).resolve() != PYTHON.parents[1].resolve():
        if not PYTHON.exists():
            sys.exit("growth: .venv-peers is missing; see bench/README.md")
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    import compare
    import peers

    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bench-ops", default=ROOT / "build" / "release" / "bench" / "bench_ops")
    parser.add_argument("--x2ctpa", default=ROOT / "build" / "release" / "bin" / "x2ctpa")
    parser.add_argument("--plot", help="a picture to write")
    args = parser.parse_args()
    main()
