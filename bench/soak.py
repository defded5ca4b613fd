#!/usr/bin/env python3
"""Uses the program for hours as the world does, and looks at what is left: in each round a new run
folder, and in it every command from phantom to evaluate, which is killed (SIGKILL), stopped
(SIGTERM), frozen (SIGSTOP), given a full disk, robbed of its input or of the process it trains
with, at random moments, and started again until it ends.

  bench/soak.py build/release/bin/x2ctpa --minutes 60 --log soak.log

After each disturbance every file that is in place must be whole; at the end of each round volumes,
X-rays, weights, scores and tables must equal those of an undisturbed run bit for bit. Memory and
open files are watched from outside. The end is 1 if anything differed. A full disk is a file system
in memory of its own, which only root may mount; others do without, and the table says so.
"""

import argparse
import collections
import dataclasses
import gzip
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

CONFIG = """
runtime: {threads: 1, deterministic: true}
phantom: {patients: 24, ct_size: 64, slices: 32, cxr_size: 96}
preprocess:
  grid: [8, 16, 16]
  field_of_view_mm: [360, 260, 300]
  cxr_size: 32
  splits: [0.5, 0.2, 0.3]
vae:
  kind: conv
  conv: {widths: [4, 8], blocks: [1, 1], decoder_blocks: [1, 1], latent_channels: 4}
  train: {steps: 900, batch_size: 2, checkpoint_every: 40, validate_every: 300, log_every: 20}
diffusion:
  linear_mean: {components: 8, random_features: 0}
  denoiser: {mean: linear, encoder: {embedding_dim: 16}, unet: {dim: 8, dim_mults: [1, 2]}}
  train: {steps: 250, batch_size: 2, checkpoint_every: 20, validate_every: 100, log_every: 20}
sample: {sampler: {steps: 4}, batch_size: 2}
classifier:
  head: linear
evaluate: {split: test, window_hu: [-200, 500], bootstrap: 200}
"""
DISK_MB = 400
TIME_LIMIT = 600  # seconds for one command, frozen time aside


@dataclasses.dataclass
class Stage:
    name: str
    arguments: list
    result: str  # the folder in the run folder whose files are compared
    patterns: tuple
    needs: str = ""  # what can be taken away meanwhile, from the run folder
    processes: int = 1


STAGES = [
    Stage("phantom", ["phantom"], "phantom", ("**/*.dcm", "*.csv")),
    Stage("preprocess", ["preprocess"], "dataset", ("ct/*", "cxr/*", "*.csv"), "phantom"),
    Stage("train-vae", ["train-vae"], "vae/model", ("**/*.safetensors",), "dataset"),
    Stage(
        "train-diffusion", ["train-diffusion"], "diffusion/model", ("**/*.safetensors",), "dataset"
    ),
    Stage("sample", ["sample", "--split", "all"], "samples", ("*.nii.gz",), "dataset"),
    Stage(
        "classify",
        ["classify", "train", "--arm", "cxr"],
        "classifier/cxr",
        ("**/*.safetensors", "scores.csv"),
        "dataset",
    ),
    Stage("evaluate", ["evaluate"], "evaluation", ("per_case.csv", "table.csv"), "samples"),
]
PAIR = [
    dataclasses.replace(stage, name=f"{stage.name} by two", processes=2) for stage in STAGES[2:4]
]
DISTURBANCES = ("kill", "term", "freeze", "full disk", "input removed", "peer lost")


def results(run, stage):
    """{file: hash} of what must be equal after every history; tables name the run folder."""
    folder = run / stage.result
    files = {file for pattern in stage.patterns for file in folder.glob(pattern)}

    def digest(file):
        return hashlib.sha256(file.read_bytes().replace(bytes(run), b"RUN")).hexdigest()

    return {str(file.relative_to(run)): digest(file) for file in sorted(files)}


def listens(pid):
    """Whether a process has begun to catch SIGTERM: before its first line nothing can."""
    try:
        with open(f"/proc/{pid}/status") as status:
            caught = next(line for line in status if line.startswith("SigCgt"))
    except (OSError, StopIteration):
        return False
    return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1 == 1


def fault_of(file):
    """What is half-written about a file that has its final name, or None."""
    data = file.read_bytes()
    try:
        if file.name.endswith(".nii.gz"):
            data = gzip.decompress(data)
        if file.name.endswith((".nii.gz", ".nii")):
            shape = struct.unpack_from("<8h", data, 40)
            voxels = shape[1] * shape[2] * shape[3]
            bits = struct.unpack_from("<h", data, 72)[0]
            offset = int(struct.unpack_from("<f", data, 108)[0])
            return None if len(data) == offset + voxels * bits // 8 else "voxels are missing"
        if file.suffix == ".png":
            return None if data[-8:-4] == b"IEND" else "no end of a PNG"
        if file.suffix == ".safetensors":
            length = struct.unpack_from("<Q", data)[0]
            header = json.loads(data[8 : 8 + length])
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name[0] != "_"]
            return None if len(data) == 8 + length + max(ends, default=0) else "weights are missing"
        if file.suffix == ".json":
            json.loads(data)
        if file.suffix in (".csv", ".yaml") and data[-1:] != b"\n":
            return "no end of the last line"
    except (ValueError, struct.error, OSError, EOFError) as error:
        return str(error)
    return None


class Watch:
    """Memory and open files of a process and of those it started, seen from outside."""

    def __init__(self):
        self.files = 0
        self.memory = []

    def look(self, pid):
        try:
            self.files = max(self.files, len(os.listdir(f"/proc/{pid}/fd")))
            with open(f"/proc/{pid}/status") as status:
                for line in status:
                    if line.startswith("VmRSS"):
                        self.memory.append(int(line.split()[1]) / 1024)
        except OSError:
            pass  # it has ended

    def quarters(self):
        """(highest MB in the second quarter of its life, in the last)"""
        n = len(self.memory)
        if n < 16:
            return None
        return max(self.memory[n // 4 : n // 2]), max(self.memory[3 * n // 4 :])


class Soak:
    def __init__(self, args, root):
        self.args, self.root = args, root
        self.random = random.Random(args.seed)
        self.counts = collections.Counter()
        self.faults = []
        self.peaks = collections.defaultdict(list)
        self.open_files = collections.defaultdict(int)
        self.can_mount = os.geteuid() == 0
        self.launcher = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "launch.sh"
        self.start = time.time()
        self.log_file = open(args.log, "a") if args.log else None

    def say(self, text):
        line = f"{(time.time() - self.start) / 60:6.1f} min  {text}"
        print(line, flush=True)
        if self.log_file:
            print(line, file=self.log_file, flush=True)

    def fault(self, text):
        self.faults.append(text)
        self.say(f"FAULT: {text}")

    def command(self, stage, run):
        line = [self.args.program, *stage.arguments, "--config", str(self.root / "tiny.yaml")]
        line += ["--run", str(run), "-q"]
        if stage.processes > 1:
            line = [str(self.launcher), "-n", str(stage.processes), "--", *line]
        return line

    def begin(self, stage, run):
        self.errors = open(self.root / "stderr", "w+")
        return subprocess.Popen(
            self.command(stage, run),
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            start_new_session=True,
        )

    def members(self, process):
        """The programs of a launcher, or the program itself."""
        try:
            with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
                children = [int(pid) for pid in file.read().split()]
            programs = [p for p in children if os.readlink(f"/proc/{p}/exe") == self.args.program]
        except OSError:
            programs = []  # it has ended, or a child has
        return programs or [process.pid]

    def wait(self, process, watch, limit):
        """Exit code, or None after `limit` seconds."""
        end = time.time() + limit
        while (left := end - time.time()) > 0:
            for pid in self.members(process):
                watch.look(pid)
            try:
                return process.wait(min(left, 0.1))
            except subprocess.TimeoutExpired:
                continue
        return None

    def last_words(self):
        self.errors.seek(0)
        return self.errors.read()[-300:].strip()

    def undisturbed(self, stage, run):
        """Runs a stage to its end; seconds, and the hashes of what it made."""
        watch, start = Watch(), time.time()
        process = self.begin(stage, run)
        code = self.wait(process, watch, TIME_LIMIT)
        if code is None:
            os.killpg(process.pid, signal.SIGKILL)
            self.fault(f"{stage.name} did not end within {TIME_LIMIT} s")
        elif code != 0:
            self.fault(f"{stage.name}, undisturbed, ended with {code}: {self.last_words()}")
        self.peaks[stage.name].append(max(watch.memory, default=0))
        self.open_files[stage.name] = max(self.open_files[stage.name], watch.files)
        return time.time() - start, results(run, stage)

    def look_for_halves(self, run, after):
        for file in sorted(run.rglob("*")):
            if ".part-" in file.name or not file.is_file() or file.is_symlink():
                continue
            if problem := fault_of(file):
                self.fault(f"after {after} {file.relative_to(run)} is half-written: {problem}")

    def disturbed(self, stage, run, kind, seconds):
        """Starts a stage, disturbs it once, waits for its end; its exit code."""
        taken = None
        ballast = run / "ballast"
        if kind == "full disk":  # from the beginning, with a little room left
            free = shutil.disk_usage(run).free
            with open(ballast, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, free - self.random.randrange(1 << 19)))
        process, watch = self.begin(stage, run), Watch()
        code = self.wait(process, watch, self.random.uniform(0.02, 1.1) * seconds)
        if code is None and kind == "kill":
            os.killpg(process.pid, signal.SIGKILL)
        elif code is None and kind == "term":
            while process.poll() is None and not all(map(listens, self.members(process))):
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
        elif code is None and kind == "freeze":
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(self.random.choice((1, 2, 5, 10, self.args.longest_freeze)))
            os.killpg(process.pid, signal.SIGCONT)
        elif code is None and kind == "input removed":
            taken = (run / stage.needs, run / "taken away")
            taken[0].rename(taken[1])
        elif code is None and kind == "peer lost":
            os.kill(self.random.choice(self.members(process)), signal.SIGKILL)
        if code is None:
            code = self.wait(process, watch, TIME_LIMIT)
        if code is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.fault(f"{stage.name} did not end after {kind}")
        if taken:
            if taken[0].exists():
                shutil.rmtree(taken[0])
            taken[1].rename(taken[0])
        if ballast.exists():
            ballast.unlink()
        self.open_files[stage.name] = max(self.open_files[stage.name], watch.files)
        return code

    def judge(self, stage, kind, code):
        """The exit codes that the contract allows after each disturbance."""
        allowed = {
            "kill": (0, -signal.SIGKILL, 128 + signal.SIGKILL),
            "term": (0, 130),
            "freeze": (0,),
            "full disk": (0, 1, 2, 3),
            "input removed": (0, 1, 2, 3),
            "peer lost": (0, 1, 2, 3, 128 + signal.SIGKILL),
        }[kind]
        if code not in allowed:
            self.fault(f"{stage.name} ended with {code} after {kind}: {self.last_words()}")
        if code in (1, 2, 3) and not self.last_words():
            self.fault(f"{stage.name} ended with {code} after {kind} without a word")

    def play(self, stage, run, seconds):
        """Disturbs a stage a few times, then lets it end."""
        for _ in range(self.random.randrange(1, 4)):
            kinds = [k for k in DISTURBANCES if k != "peer lost" or stage.processes > 1]
            kinds = [k for k in kinds if k != "full disk" or self.can_mount]
            kinds = [k for k in kinds if k != "input removed" or stage.needs]
            kind = self.random.choice(kinds)
            code = self.disturbed(stage, run, kind, seconds)
            self.counts[kind] += 1
            self.say(f"{stage.name}: {kind}, ended with {code}")
            self.judge(stage, kind, code)
            self.look_for_halves(run, f"{kind} of {stage.name}")

    def round(self, number, stages, reference, first=None):
        run = self.root / "disk" / f"round-{number}"
        run.mkdir(parents=True)
        if first:  # made by an undisturbed run
            for name in first:
                shutil.copytree(self.root / "whole" / name, run / name)
        for stage in stages:
            seconds, expected = reference[stage.name]
            self.play(stage, run, seconds)
            found = self.undisturbed(stage, run)[1]
            differ = [
                name
                for name in sorted(expected.keys() | found.keys())
                if expected.get(name) != found.get(name)
            ]
            self.counts["files compared"] += len(expected)
            if differ:
                self.fault(f"round {number}, {stage.name}: {len(differ)} differ, first {differ[0]}")
        shutil.rmtree(run)

    def references(self):
        reference = {}
        for stages, name in ((STAGES, "whole"), (PAIR, "pair")):
            run = self.root / name
            run.mkdir()
            if stages is PAIR:
                shutil.copytree(self.root / "whole" / "dataset", run / "dataset")
            for stage in stages:
                reference[stage.name] = self.undisturbed(stage, run)
                seconds, made = reference[stage.name]
                self.say(f"{stage.name}, undisturbed: {seconds:.1f} s, {len(made)} files")
                if not made:
                    self.fault(f"{stage.name} made nothing that can be compared")
        return reference

    def steady(self):
        """A long training and a long folder of X-rays: memory and files of the last quarter."""
        run = self.root / "whole"
        steps = ["--force", "--vae.train.steps", "4000"]
        samples = ["--samples-per-cxr", "60", "--out", str(self.root / "many")]
        for stage in (
            dataclasses.replace(STAGES[2], arguments=[*STAGES[2].arguments, *steps]),
            dataclasses.replace(STAGES[4], arguments=[*STAGES[4].arguments, *samples]),
        ):
            watch = Watch()
            process = self.begin(stage, run)
            code = self.wait(process, watch, TIME_LIMIT)
            quarters = watch.quarters()
            if code != 0 or quarters is None:
                self.fault(f"long {stage.name} ended with {code}: {self.last_words()}")
                continue
            self.say(
                f"long {stage.name}: {quarters[0]:.0f} MB in the second quarter, "
                f"{quarters[1]:.0f} MB in the last, at most {watch.files} open files"
            )
            if quarters[1] > 1.05 * quarters[0] + 8:
                self.fault(f"memory of {stage.name} grows")

    def run(self):
        (self.root / "tiny.yaml").write_text(CONFIG)
        disk = self.root / "disk"
        disk.mkdir()
        if self.can_mount:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "soak", str(disk)]
            self.can_mount = subprocess.run(mount, capture_output=True).returncode == 0
        try:
            reference = self.references()
            number = 0
            while time.time() < self.start + 60 * self.args.minutes and len(self.faults) < 20:
                number += 1
                if number % 3 == 0:
                    self.round(number, PAIR, reference, ["dataset"])
                else:
                    self.round(number, STAGES, reference)
            self.counts["rounds"] = number
            self.steady()
        finally:
            if self.can_mount:
                subprocess.run(["umount", "-l", str(disk)], check=False)
        self.summary()

    def summary(self):
        hours = (time.time() - self.start) / 3600
        self.say(f"{hours:.2f} hours, seed {self.args.seed}, {self.counts['rounds']} rounds")
        for kind in DISTURBANCES:
            note = "" if kind != "full disk" or self.can_mount else " (only root can mount a disk)"
            self.say(f"{kind}: {self.counts[kind]}{note}")
        for name, peaks in self.peaks.items():
            first, last = peaks[0], peaks[-1]
            self.say(
                f"{name}: peak {first:.0f} MB undisturbed, {max(peaks):.0f} MB highest, "
                f"{last:.0f} MB last; at most {self.open_files[name]} open files"
            )
        self.say(f"files compared: {self.counts['files compared']}; faults: {len(self.faults)}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", type=lambda text: str(pathlib.Path(text).resolve()))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", help="file to which every line goes, too")
    parser.add_argument("--longest-freeze", type=float, default=60, help="seconds of a SIGSTOP")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="x2ctpa-soak-") as folder:
        soak = Soak(args, pathlib.Path(folder))
        soak.run()
        sys.exit(1 if soak.faults else 0)


if __name__ == "__main__":
    main()
