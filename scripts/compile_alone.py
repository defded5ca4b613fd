#!/usr/bin/env python3
"""Checks that every source compiles by itself and without a warning.

    scripts/compile_alone.py BUILD [FOLDER...]

Takes the commands from BUILD/compile_commands.json and has the compiler look at each source below
the FOLDERs (default: src) without making code, one on each core. BUILD is to be configured without
precompiled headers and unity sources, so that a file that leans on another one's includes fails.
Exit code 1 when a compiler says anything.
"""

import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def syntax_command(command):
    """The command, without its output."""
    words = shlex.split(command)
    at = words.index("-o")
    return [*words[:at], *words[at + 2 :], "-fsyntax-only"]


def complaints(entry):
    done = subprocess.run(
        syntax_command(entry["command"]), cwd=entry["directory"], capture_output=True, text=True
    )
    if done.returncode != 0 and not done.stderr:
        return f"{entry['file']}: the compiler ended with {done.returncode}\n"
    return done.stderr


def main(argv):
    if len(argv) < 2:
        sys.exit(__doc__)
    root = Path(__file__).resolve().parent.parent
    folders = [root / folder for folder in argv[2:] or ["src"]]
    entries = json.loads((Path(argv[1]) / "compile_commands.json").read_text())
    entries = [e for e in entries if any(f in Path(e["file"]).parents for f in folders)]
    if not entries:
        sys.exit(f"compile_alone: {argv[1]} compiles nothing below {', '.join(map(str, folders))}")
    bad = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for entry, text in zip(entries, pool.map(complaints, entries), strict=True):
            if text:
                bad += 1
                print(f"{entry['file']}:\n{text}", flush=True)
    print(f"compile_alone: {len(entries)} sources, {bad} with complaints")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
