#!/usr/bin/env python3
"""Where the time of one run of a row of compare.py goes, the peer's and ours: seconds by groups of
LibTorch's operators, each without the operators that it calls.

    profile_row.py ROW... --work DIR

DIR is the folder that `compare.py ROW... --prepare --work DIR` made.

"outside" is what lies in no operator: kernels of x2ctpa and the peer's Python.
"""

import argparse
import collections
import json
import pathlib
import re
import sys
import tempfile

import compare

# Group -> the names of operators in it, without "aten::". The first that matches counts.
GROUPS = {
    "convolution": r"convolution|conv\d|slow_conv|thnn_conv",
    "matrix product": r"(add)?mm|(baddb)?bmm|matmul|linear|einsum|addmv|mkl_linear",
    "attention": r"scaled_dot_product|_flash_attention",
    "softmax": r"softmax",
    "normalisation": r"(native_)?(group|layer|batch)_norm|var_mean|mkldnn_batch_norm",
    "copies and padding": r"copy_|_to_copy|clone|contiguous|cat$|stack|pad|fill_|zero_|zeros|ones|"
    r"index|one_hot|scatter|gather|embedding|repeat|reshape|upsample|empty|resize|slice_backward",
    "reductions": r"sum|mean|norm|amax|amin|max|min|argmin|argmax|topk|cumsum|bincount|linalg",
    "optimiser": r"_fused|_foreach|lerp",
    "element-wise": r".*",
}
REST = "outside"


def group_of(name):
    if not name.startswith(("aten::", "mkldnn::")):
        return REST
    plain = name.split("::")[-1]
    return next(
        group
        for group, pattern in GROUPS.items()
        if re.match(r"(_|mkldnn_)*(" + pattern + ")", plain)
    )


def self_seconds(trace):
    """Seconds by group on the thread that has most of the events, from a Chrome trace."""
    events = json.loads(pathlib.Path(trace).read_text(encoding="utf-8"))
    events = events["traceEvents"] if isinstance(events, dict) else events
    threads = collections.defaultdict(list)
    for e in events:
        if e.get("ph") == "X" and not str(e.get("tid", "")).startswith("stream"):
            threads[e["tid"]].append((float(e["ts"]), float(e["ts"]) + float(e["dur"]), e["name"]))
    seconds = collections.Counter()
    # Forward and backward passes run in threads of their own, one after the other.
    for spans in threads.values():
        stack = []
        for start, end, name in sorted(spans, key=lambda s: (s[0], -s[1])):
            while stack and stack[-1][1] <= start:
                stack.pop()
            if stack:
                seconds[group_of(stack[-1][2])] -= (end - start) / 1e6
            seconds[group_of(name)] += (end - start) / 1e6
            stack.append((start, end, name))
    return seconds


def profiled(command, rounds):
    """(seconds of the run, seconds by group) after `rounds` of warming up."""
    worker = compare.Worker(command)
    for _ in range(rounds):
        worker.run()
    with tempfile.TemporaryDirectory(prefix="x2ctpa-profile-") as folder:
        trace = pathlib.Path(folder) / "trace.json"
        total = float(worker.ask(f"profile {trace}"))
        worker.close()
        groups = self_seconds(trace)
    groups[REST] = total - sum(s for group, s in groups.items() if group != REST)
    return total, groups


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("rows", nargs="+", choices=compare.ROWS, metavar="ROW")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument(
        "--rounds", type=int, default=2, help="runs before the one that is profiled"
    )
    parser.add_argument(
        "--bench-ops", default=compare.ROOT / "build" / "release" / "bench" / "bench_ops"
    )
    args = parser.parse_args()
    for row in args.rows:
        title, operation, *_ = compare.ROWS[row]
        folder = args.work / row
        sides = [
            profiled(
                [
                    compare.PYTHON,
                    "-W",
                    "ignore",
                    compare.ROOT / "bench" / "peers.py",
                    "serve",
                    operation,
                    folder,
                ],
                args.rounds,
            ),
            profiled([args.bench_ops, operation, folder], args.rounds),
        ]
        print(f"\n{title}\n\n| | peer s | ours s |\n|---|---|---|")
        print("| all | " + " | ".join(f"{total:.2f}" for total, _ in sides) + " |")
        for group in [*GROUPS, REST]:
            if any(groups[group] >= 0.005 for _, groups in sides):
                print(
                    f"| {group} | "
                    + " | ".join(f"{groups[group]:.2f}" for _, groups in sides)
                    + " |"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
