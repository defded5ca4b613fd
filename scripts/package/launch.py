"""The console script `x2ctpa`: says what is wrong around the program, or becomes the program."""

import glob
import os
import re
import sys

from x2ctpa import built_with

FOLDER = os.path.dirname(os.path.abspath(__file__))
INSTALL = f"{sys.executable} -m pip install torch=={built_with.TORCH}"


def torch_version(folder):
    """What torch/version.py in a folder of packages states, such as 2.14.1+cu130; else None."""
    try:
        with open(os.path.join(folder, "torch", "version.py"), encoding="utf-8") as file:
            found = re.search(r"__version__ = '([^']+)'", file.read())
    except OSError:
        return None
    return found.group(1) if found else None


def wrong_torch(folder):
    """The program is linked to the torch beside it, of just the version that it was built with."""
    version = torch_version(folder)
    if version is None:
        for other in sys.path:
            if torch_version(other):
                return (
                    f"torch {torch_version(other)} is in {other}, and x2ctpa, in {folder}, needs "
                    f"it in the same folder. Install both into one environment: {INSTALL}"
                )
        return f"torch is not installed. It needs torch {built_with.TORCH}: {INSTALL}"
    if version.split("+")[0] != built_with.TORCH:
        return (
            f"torch {version} is installed, and this x2ctpa was built with torch "
            f"{built_with.TORCH}: {INSTALL}"
        )
    if "+cu" in version:
        for library in built_with.NEEDED_BY_TORCH:
            if not glob.glob(os.path.join(folder, "nvidia", "*", "lib", library)):
                return (
                    f"torch {version} needs {library} also where there is no GPU, and it is not "
                    f"installed: {INSTALL}"
                )
    return None


def wrong_glibc():
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (AttributeError, ValueError, OSError):
        name, version = "another C library", ""
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    needed = tuple(int(n) for n in built_with.GLIBC.split("."))
    if name == "glibc" and numbers >= needed:
        return None
    return (
        f"this system has {name} {version}".rstrip()
        + f", and this x2ctpa needs glibc {built_with.GLIBC} or later, as in Debian 12 and Ubuntu "
        "24.04. Use a newer system or the container, or build from source: scripts/setup.sh"
    )


def main():
    wrong = wrong_glibc() or wrong_torch(os.path.dirname(FOLDER))
    if wrong:
        print(f"x2ctpa: {wrong}", file=sys.stderr)
        return 1
    program = os.path.join(FOLDER, "bin", "x2ctpa")
    try:
        os.execv(program, ["x2ctpa", *sys.argv[1:]])
    except OSError as error:
        print(
            f"x2ctpa: {program} cannot be started ({error.strerror}). Install the wheel again: "
            f"{sys.executable} -m pip install --force-reinstall --no-deps x2ctpa-*.whl",
            file=sys.stderr,
        )
    return 1


if __name__ == "__main__":
    sys.exit(main())
