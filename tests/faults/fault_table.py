#!/usr/bin/env python3
"""Runs every command on a file system that fails, call by call, and tells what became of it.

    fault_table.py [--minutes M] [--every] [COMMAND...]     phantom, preprocess, train-vae, ...

For each command and each call that it makes to write (tests/faults/fault_shim.cpp lists them), at
the first and the last of each kind of file, or at all of them (--every), the call fails with a full
disk (from there on), with an I/O error, with a signal, or by doing half; a rename also by being
done and answering with an error. After each it is asserted that the command

* ended by itself with one of its exit codes, 0 only where all results are there,
* named the file or its folder on stderr where it failed,
* left no file that is half written,
* went on when it was run again, and then had the results of a run that nothing disturbed.

Then: two processes at once, a process that was killed, and a clock that is set back. Prints a table
of command by call and ends with 1 when an assertion failed.
"""

import argparse
import collections
import gzip
import json
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = """
runtime: {threads: 1}
phantom: {patients: 6, ct_size: 32, slices: 16, cxr_size: 48}
preprocess: {grid: [8, 16, 16], field_of_view_mm: [360, 260, 300], cxr_size: 32,
             splits: [0.5, 0.25, 0.25]}
vae: {model: {hidden_channels: 4, embedding_dim: 4, codes: 16, downsample: [2, 4, 4]},
      train: {steps: 2, batch_size: 2, checkpoint_every: 1, validate_every: 1}}
diffusion: {denoiser: {unet: {dim: 8, dim_mults: [1, 2]},
                       encoder: {width: 4, embedding_dim: 16, groups: 2}},
            train: {steps: 2, batch_size: 2, checkpoint_every: 1, validate_every: 1}}
sample: {sampler: {steps: 2}, batch_size: 4}
classifier: {model: {blocks: [1, 1], growth: 4, init_features: 4},
             train: {steps: 2, batch_size: 2, checkpoint_every: 1, validate_every: 1}}
evaluate: {bootstrap: 20}
"""
COMMANDS = {
    "phantom": "phantom",
    "preprocess": "preprocess",
    "check": "preprocess --check",
    "train-vae": "train-vae",
    "train-diffusion": "train-diffusion",
    "sample": "sample --split all --dicom",
    "classify-train": "classify train --arm ctpa",
    "classify-predict": "classify predict --arm ctpa",
    "evaluate": "evaluate",
}
KINDS = {
    "open": ("ENOSPC", "EIO", "EINTR"),
    "write": ("ENOSPC", "EIO", "EINTR", "SHORT"),
    "fsync": ("ENOSPC", "EIO", "EINTR"),
    "rename": ("ENOSPC", "EIO", "EINTR", "LATE"),
    "close": ("ENOSPC", "EIO", "EINTR"),
    "ftruncate": ("EIO",),
    "mkdir": ("ENOSPC", "EIO"),
}
GROWING = ("metrics.jsonl", "log.txt")
PARTIAL = re.compile(r"\.part-\d+-\d+-")


class Finding(Exception):
    pass


class Bench:
    """The program, a run folder that every run shares, and states of it to return to."""

    def __init__(self, binary, shim, work):
        self.binary, self.shim, self.work = binary, shim, work
        self.run_folder = work / "run"
        (work / "tiny.yaml").write_text(CONFIG)

    def line(self, command):
        arguments = [*COMMANDS[command].split(), "--config", str(self.work / "tiny.yaml")]
        return [self.binary, *arguments, "--run", str(self.run_folder)]

    def environment(self, **faults):
        env = dict(os.environ, LD_PRELOAD=str(self.shim), TMPDIR=str(self.work / "tmp"))
        env["X2CTPA_FAULT_FOLDER"] = str(self.run_folder)
        (self.work / "tmp").mkdir(exist_ok=True)
        return env | {f"X2CTPA_FAULT_{name}": str(value) for name, value in faults.items()}

    def run(self, command, **faults):
        """(exit code, stderr) of a command; the code is negative after a signal."""
        try:
            done = subprocess.run(
                self.line(command), env=self.environment(**faults), capture_output=True, timeout=120
            )
        except subprocess.TimeoutExpired as error:
            raise Finding("did not end within 120 s") from error
        return done.returncode, done.stderr.decode(errors="replace")

    def start(self, command):
        return subprocess.Popen(
            self.line(command),
            env=self.environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def keep(self, name):
        shutil.rmtree(self.work / name, ignore_errors=True)
        if self.run_folder.exists():
            shutil.copytree(self.run_folder, self.work / name, symlinks=True)
        else:
            (self.work / name).mkdir()

    def restore(self, name):
        shutil.rmtree(self.run_folder, ignore_errors=True)
        shutil.copytree(self.work / name, self.run_folder, symlinks=True)


def without_clock(name, content):
    """What a clock said of it is taken out."""
    if name.endswith((".json", ".jsonl", ".html", ".md", ".txt")):
        content = re.sub(
            rb'"\w*(seconds|per_second|made|time|date)\w*": ?("[^"]*"|[^,}\s]+)', b"", content
        )
    if name == "samples.csv":
        rows = [row.split(b",") for row in content.splitlines()]
        at = rows[0].index(b"seconds")
        content = b"\n".join(b",".join(row[:at] + row[at + 1 :]) for row in rows)
    return content


def state(folder):
    """Files below `folder` by their paths. TensorBoard's hold times, and each run has its own."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not PARTIAL.search(str(path)) and ".tfevents." not in path.name:
            found[str(path.relative_to(folder))] = without_clock(path.name, path.read_bytes())
    return found


def require_whole(path):
    """Raises Finding for a file that its format calls unfinished."""
    content = path.read_bytes()
    try:
        if path.name in GROWING:
            lines = content.decode().split("\n")[:-1]  # the last may be cut
            if path.suffix == ".jsonl":
                for line in lines[:-1]:
                    json.loads(line)
        elif path.suffix == ".json":
            json.loads(content)
        elif path.name.endswith(".nii.gz"):
            gzip.decompress(content)
        elif path.suffix == ".png" and not content.endswith(b"IEND\xaeB`\x82"):
            raise ValueError("no end")
        elif path.suffix == ".safetensors":
            (length,) = struct.unpack("<Q", content[:8])
            header = json.loads(content[8 : 8 + length])
            ends = [t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"]
            if 8 + length + max(ends, default=0) != len(content):
                raise ValueError("another size")
        elif path.suffix in (".csv", ".yaml", ".md", ".html", ".txt") and not content.endswith(
            b"\n"
        ):
            raise ValueError("its last line has no end")
    except (ValueError, struct.error, OSError, EOFError) as error:
        raise Finding(f"{path.name} is half written: {error}") from error


def difference(found, wanted, clock):
    for name in sorted(found.keys() | wanted.keys()):
        if name in clock:
            continue
        if name not in found or name not in wanted:
            return f"{name} is {'missing' if name in wanted else 'left over'}"
        if found[name] != wanted[name]:
            return f"{name} differs"
    return ""


class Reference:
    """What a command does undisturbed: its calls, its results, what a clock changes of them."""

    def __init__(self, bench, command):
        bench.keep("before")
        log = bench.work / "calls"
        log.unlink(missing_ok=True)
        started = time.monotonic()
        code, error = bench.run(command, LOG=log)
        self.seconds = time.monotonic() - started
        self.code = code
        if code not in (0, 3 if command == "evaluate" else 0):
            sys.exit(f"{command} ends with {code} before anything fails: {error}")
        self.calls = [line.split(" ", 2) for line in log.read_text().splitlines()]
        self.files = state(bench.run_folder)
        bench.keep("after")
        bench.restore("before")
        bench.run(command)
        again = state(bench.run_folder)
        names = self.files.keys() | again.keys()
        self.clock = {n for n in names if self.files.get(n) != again.get(n)}
        bench.restore("after")

    def sites(self, every):
        """(number, call, what) of the calls to fail."""
        groups = collections.OrderedDict()
        for number, call, path in self.calls:
            name = PARTIAL.sub("", path)
            groups.setdefault((call, re.sub(r"\d+", "#", name)), []).append(int(number))
        for (call, name), numbers in groups.items():
            chosen = numbers if every else sorted({numbers[0], numbers[-1]})
            for number in chosen:
                yield number, call, name


def check_fault(bench, command, reference, site, kind):
    """'passed over', 'told' or 'told in part'; raises Finding."""
    number, _, name = site
    bench.restore("before")
    stays = int(kind == "ENOSPC")
    code, error = bench.run(command, AT=number, KIND=kind, STAYS=stays)
    if code not in (0, 1, 3):
        raise Finding(f"exit code {code}: {error[-300:]}")
    for path in bench.run_folder.rglob("*"):
        if path.is_file() and not PARTIAL.search(str(path)):
            require_whole(path)
    same = difference(state(bench.run_folder), reference.files, reference.clock)
    if code == reference.code and same:
        raise Finding(f"exit code {code}, but {same}")
    if code != reference.code and str(bench.run_folder) not in error:
        raise Finding(f"exit code {code}, but no file of the run is named: {error[-300:]}")
    if code == reference.code:
        return "passed over"
    again, error = bench.run(command)
    if again != reference.code:
        raise Finding(f"the next run ends with {again}: {error[-300:]}")
    if same := difference(state(bench.run_folder), reference.files, reference.clock):
        raise Finding(f"after the next run {same}")
    return "told in part" if code == 3 else "told"


def check_company(bench, command, reference):
    """Two processes at once, a killed one, a clock set back: (what, outcome) of each."""

    def same(codes, allowed):
        if any(code not in allowed for code in codes):
            raise Finding(f"exit codes {codes}")
        if different := difference(state(bench.run_folder), reference.files, reference.clock):
            raise Finding(different)

    def two():
        processes = [bench.start(command) for _ in range(2)]
        try:
            for process in processes:
                process.communicate(timeout=120)
        except subprocess.TimeoutExpired as error:
            for process in processes:
                process.kill()
            raise Finding("did not end within 120 s") from error
        codes = [process.returncode for process in processes]
        if reference.code not in codes:
            bench.run(command)
        same(codes, (reference.code, 1))
        return f"exit codes {codes[0]} and {codes[1]}"

    def killed():
        process = bench.start(command)
        time.sleep(0.6 * reference.seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        code, _ = bench.run(command)
        same([code], (reference.code,))
        return "goes on"

    def clock():
        code, _ = bench.run(command, CLOCK=86400)
        same([code], (reference.code,))
        return "same results"

    for what, call in (("two at once", two), ("killed", killed), ("clock back a day", clock)):
        bench.restore("before")
        try:
            yield what, call()
        except Finding as finding:
            yield what, f"FINDING: {finding}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--binary", default=ROOT / "build/release/bin/x2ctpa")
    parser.add_argument(
        "--shim", default=ROOT / "build/release/tests/faults/libx2ctpa_fault_shim.so"
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this long")
    parser.add_argument(
        "--every", action="store_true", help="every call, not those of each file alone"
    )
    parser.add_argument("--short", action="store_true", help="a few seconds of it, for ctest")
    options = parser.parse_args()
    wanted = options.commands or list(COMMANDS)
    end = time.monotonic() + (0.15 if options.short else options.minutes) * 60
    findings, outcomes = [], collections.Counter()
    with tempfile.TemporaryDirectory(prefix="x2ctpa-faults-") as work:
        bench = Bench(options.binary, options.shim, pathlib.Path(work))
        for command in ("phantom", "preprocess") if options.short else COMMANDS:
            reference = Reference(bench, command)
            if command not in wanted or (options.short and command != "preprocess"):
                continue
            sites = [(s, k) for s in reference.sites(options.every) for k in KINDS[s[1]]]
            if options.short:
                sites = sites[:: max(1, len(sites) // 6)]
            # Where time ends first, a sample of all is seen, and as much of each command.
            random.Random(1).shuffle(sites)
            left = sum(
                1 for name in list(COMMANDS)[list(COMMANDS).index(command) :] if name in wanted
            )
            share = time.monotonic() + (end - time.monotonic()) / (1 if options.short else left)
            done = 0
            for site, kind in sites:
                if time.monotonic() > share:
                    break
                done += 1
                try:
                    outcome = check_fault(bench, command, reference, site, kind)
                except Finding as finding:
                    outcome = "FINDING"
                    name = site[2].removeprefix(str(bench.run_folder))
                    findings.append(f"{command}: {kind} at {site[1]} {site[0]} ({name}): {finding}")
                    print(findings[-1], file=sys.stderr, flush=True)
                outcomes[command, site[1], kind, outcome] += 1
            print(
                f"{command}: {done} of {len(sites)} faults, {len(reference.calls)} calls",
                flush=True,
            )
            if not options.short:
                for what, outcome in check_company(bench, command, reference):
                    print(f"{command}: {what}: {outcome}", flush=True)
                    if outcome.startswith("FINDING"):
                        findings.append(f"{command}: {what}: {outcome}")
            bench.restore("after")
    print_table(outcomes)
    print(f"{sum(outcomes.values())} faults, {len(findings)} findings")
    sys.exit(1 if findings else 0)


def print_table(outcomes):
    words = ("passed over", "told", "told in part", "FINDING")
    print(f"\n{'command':<17}{'call':<9}{'fault':<8}" + "".join(f"{w:>14}" for w in words))
    for command, call, kind in sorted({key[:3] for key in outcomes}):
        counts = [outcomes[command, call, kind, word] for word in words]
        print(f"{command:<17}{call:<9}{kind:<8}" + "".join(f"{n or '.':>14}" for n in counts))


if __name__ == "__main__":
    main()
