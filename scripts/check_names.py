#!/usr/bin/env python3
"""Checks the names in all C++ files with clang-tidy 14 and the cases that .clang-tidy states.

    scripts/check_names.py [ROOT]      default: the repository of this script

Prints "file:line: text" for each name; exit code 1 when there is one.

clang-tidy looks at every declaration of every header, which takes 40 s for a file that includes
LibTorch. A name's case does not depend on what a library's type is, so that here every header of a
library but the standard's, fmt's and GoogleTest's is an empty file, and what the compiler then says
about unknown types is left out. clang-tidy finds .clang-tidy above each file by itself: named on
the command line, it would hold for the standard library too, and take twice as long. The sources of
a folder are read in one go. What was found is kept in build/style and is used again while no
header, no source of the folder and no rule has changed.
"""

import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDERS = ("include", "src", "tests", "bench", "docs")
INCLUDE = re.compile(r"^\s*#\s*include\s*<([^>]+)>", re.MULTILINE)
# The headers that are read; the rest are empty.
REAL = re.compile(r"[a-z_]+|(fmt|gtest|sys)/.*|(unistd|fcntl|malloc|sched)\.h")
# A qualified type in an unknown namespace hides the declaration; in a known one it does not.
LIBRARIES = """
namespace at { class Tensor {}; }
namespace torch { using namespace at; namespace autograd {} namespace nn {} namespace optim {} }
namespace CLI {}
namespace YAML {}
namespace benchmark {}
namespace c10 {}
namespace gdcm {}
namespace itk {}
namespace nlohmann {}
namespace spdlog {}
#define TORCH_MODULE(Name) \\
  struct Name { template <class... T> Name(T&&...); Name##Impl* operator->() const; }
#define TORCH_LIBRARY_IMPL(library, key, m) static void library##_##key(int& m)
#define BENCHMARK_CAPTURE(function, name, ...) BENCHMARK(function)
"""
FLAGS = ["-std=c++20", "-w", "-ferror-limit=0"]
FOUND = re.compile(r"(?P<file>[^:\n]+):(?P<line>\d+):\d+: warning: (?P<text>.*naming\])")


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


class Names:
    def __init__(self, root):
        self.root = root
        self.work = root / "build/style"
        self.files = sorted(
            path
            for folder in FOLDERS
            for path in (root / folder).rglob("*")
            if path.suffix in (".cpp", ".h")
        )
        self.text = {path: path.read_text(encoding="utf-8") for path in self.files}
        self.flags = [*FLAGS, *(f"-I{root / folder}" for folder in ("src", "include", "tests"))]
        self.flags += ["-isystem", str(self.work / "stubs")]

    def batches(self):
        """The sources, by module; small ones together."""
        modules = {}
        for path in self.files:
            if path.suffix == ".cpp":
                name = "-".join(path.relative_to(self.root).parts[:2]).removesuffix(".cpp")
                modules.setdefault(name, []).append(path)
        batches = {}
        for name, sources in modules.items():
            batch = name if len(sources) > 20 else f"small-{name.split('-')[0]}"
            batches.setdefault(batch, []).extend(sources)
        return batches

    def key(self, sources):
        """What the result for these sources depends on."""
        read = [Path(__file__), self.root / ".clang-tidy", *sources]
        read += [path for path in self.files if path.suffix == ".h"]
        key = hashlib.sha256()
        for path in read:
            key.update(f"{path}\0".encode() + path.read_bytes())
        return key.hexdigest()

    def precompile(self):
        """The headers that are read, once."""
        headers = sorted({h for text in self.text.values() for h in INCLUDE.findall(text)})
        for header in headers:
            if not REAL.fullmatch(header):
                stub = self.work / "stubs" / header
                stub.parent.mkdir(parents=True, exist_ok=True)
                stub.touch()
        real = [f"#include <{h}>\n" for h in headers if REAL.fullmatch(h)]
        header, result = self.work / "names.h", self.work / "names.pch"
        content = "".join(real) + LIBRARIES
        if result.exists() and header.exists() and header.read_text() == content:
            return
        self.work.mkdir(parents=True, exist_ok=True)
        header.write_text(content)
        code, text = run(
            ["clang++-14", "-x", "c++-header", *self.flags, str(header), "-o", str(result)]
        )
        if code != 0:
            result.unlink(missing_ok=True)
            sys.exit(f"check_names: clang cannot read the libraries' headers:\n{text}")

    def check(self, batch):
        name, sources = batch
        kept = self.work / f"{name}.found"
        key = self.key(sources)
        if kept.exists() and kept.read_text().startswith(key):
            return kept.read_text().splitlines()[1:]
        together = self.work / f"{name}.cpp"
        together.write_text("".join(f'#include "{path}"\n' for path in sources))
        _, text = run(
            ["clang-tidy-14", "--checks=-*,readability-identifier-naming", "--quiet",
             str(together), "--", *self.flags, "-include-pch", str(self.work / "names.pch")]
        )  # fmt: skip
        if "fatal error" in text or "unable to handle" in text:
            sys.exit(f"check_names: clang-tidy gave up on {name}:\n{text}")
        found = set()
        for match in FOUND.finditer(text):
            path = Path(match["file"])
            if path.is_relative_to(self.root) and self.work not in path.parents:
                text = match["text"].removesuffix(" [readability-identifier-naming]")
                found.add((str(path.relative_to(self.root)), int(match["line"]), text))
        lines = [f"{path}:{line}: {text}" for path, line, text in sorted(found)]
        kept.write_text("\n".join([key, *lines]))
        return lines


def main(argv):
    root = Path(argv[1]) if len(argv) > 1 else Path(__file__).resolve().parent.parent
    names = Names(root.resolve())
    names.precompile()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = {line for lines in pool.map(names.check, names.batches().items()) for line in lines}
    for line in sorted(found):
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
