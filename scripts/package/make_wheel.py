#!/usr/bin/env python3
"""Makes the wheel of an installed x2ctpa: the program with the libraries of the distribution that
it is linked with and their licences, without LibTorch, NVIDIA's libraries and glibc.

    make_wheel.py PREFIX LIBTORCH DIST    PREFIX: of cmake --install; LIBTORCH: site-packages/torch
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
import zipfile
from pathlib import Path
from urllib.parse import quote

SOURCE = Path(__file__).resolve().parent.parent.parent
GLIBC = re.compile(r"(ld-linux-x86-64|lib(c|m|dl|pthread|rt|util|resolv))\.so")
# What torch brings, among it the one OpenMP library of the process.
TORCH = re.compile(r"lib(torch|c10|gomp|cud|cupti|nccl|nv)")
# Compiled into the program: packages of the distribution that are no libraries.
HEADER_ONLY = ("libcli11-dev", "nlohmann-json3-dev", "libjs-chart.js")
# Where torch finds NVIDIA's libraries. The program looks there for itself, too, since some
# libraries are loaded by name.
RUN_PATH = ["$ORIGIN/../lib", "$ORIGIN/../../torch/lib", "$ORIGIN/../../nvidia/cu13/lib"]


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed_by(file):
    return re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "-d", str(file)))


def distribution_libraries(program):
    """Name as linked -> file, for everything below the program that is not torch's or glibc's."""
    libraries = {}
    for name, path in re.findall(r"(\S+) => (\S+)", output_of("ldd", str(program))):
        if path == "not":
            sys.exit(f"make_wheel: {name}, which the program needs, was not found")
        if not GLIBC.match(name) and not TORCH.match(name):
            libraries[name] = Path(path)
    return libraries


def package_of(library):
    """The package of the distribution that a library is from. /lib may be a link to /usr/lib."""
    for path in (library, Path("/usr") / library.relative_to("/"), library.resolve()):
        found = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.split(":")[0]
    sys.exit(f"make_wheel: no package of this system owns {library}")


def set_run_path(file, run_path):
    # RPATH, as torch has it: LD_LIBRARY_PATH of a cluster's modules must not put others first.
    output_of("patchelf", "--force-rpath", "--set-rpath", ":".join(run_path), str(file))


def bundle_libraries(program, package):
    """Copies the libraries to package/lib; returns the package of each."""
    owners = {}
    for name, library in sorted(distribution_libraries(program).items()):
        target = package / "lib" / name
        if name == "libjbig.so.0":
            code = SOURCE / "scripts/package/no_jbig.c"
            output_of(
                "cc", "-shared", "-fPIC", "-O2", f"-Wl,-soname,{name}", str(code), "-o", str(target)
            )
        else:
            owners[name] = package_of(library)
            shutil.copy(library.resolve(), target)
        target.chmod(0o755)
        set_run_path(target, ["$ORIGIN"])
    return owners


def copy_licences(owners, package):
    lines = ["Libraries of the distribution in lib/, with the licence of each in licences/:", ""]
    for owner in sorted(set(owners.values())):
        (package / "licences" / owner).mkdir(parents=True)
        shutil.copy(f"/usr/share/doc/{owner}/copyright", package / "licences" / owner / "copyright")
        names = ", ".join(name for name, of in owners.items() if of == owner)
        lines.append(f"{owner} {version_of(owner)}: {names}")
    lines += ["", "Compiled into the program: CLI11 (BSD), nlohmann/json (MIT), Chart.js (MIT)."]
    for header_only in HEADER_ONLY:
        (package / "licences" / header_only).mkdir()
        shutil.copy(
            f"/usr/share/doc/{header_only}/copyright",
            package / "licences" / header_only / "copyright",
        )
    (package / "licences" / "README.txt").write_text("\n".join(lines) + "\n")


def version_of(package):
    return output_of("dpkg-query", "-W", "-f", "${Version}\n", package).splitlines()[0]


def bill_of_materials(version, torch, packages, files):
    """What the wheel is made of, as CycloneDX 1.5 (ECMA-424) lists it: the packages of the
    distribution by name and version, torch, and the SHA-256 of each library by its path. The same
    content gives the same bytes, so it holds neither a date nor a random number."""

    def component(kind, name, of, purl, **more):
        return {"type": kind, "bom-ref": purl, "name": name, "version": of, "purl": purl} | more

    program = component("application", "x2ctpa", version, f"pkg:pypi/x2ctpa@{version}")
    torch_purl = f"pkg:pypi/torch@{torch}"
    parts = [component("library", "torch", torch, torch_purl, scope="required")]
    for name, of in sorted(packages.items()):
        purl = f"pkg:deb/debian/{name}@{quote(of, safe='.~-')}?arch=amd64"
        parts.append(component("library", name, of, purl))
    for path, digest in sorted(files.items()):
        hashes = [{"alg": "SHA-256", "content": digest}]
        parts.append({"type": "file", "bom-ref": path, "name": path, "hashes": hashes})
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": program},
        "components": parts,
        "dependencies": [{"ref": program["bom-ref"], "dependsOn": [p["bom-ref"] for p in parts]}],
    }
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill))}"
    return json.dumps(bill, indent=1) + "\n"


def add_bill_of_materials(package, info, version, torch, owners):
    packages = {name: version_of(name) for name in {*owners.values(), *HEADER_ONLY}}
    files = [*(package / "bin").iterdir(), *(package / "lib").iterdir()]
    sums = {
        str(file.relative_to(package.parent)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    (info / "sboms").mkdir()
    bill = bill_of_materials(version, torch, packages, sums)
    (info / "sboms" / "x2ctpa.cdx.json").write_text(bill)


def newest_glibc(package):
    """The newest version of glibc's symbols that anything in the package asks for."""
    versions = {(2, 17)}
    for file in [*(package / "bin").iterdir(), *(package / "lib").iterdir()]:
        found = re.findall(r"GLIBC_(\d+)\.(\d+)", output_of("readelf", "-V", str(file)))
        versions.update((int(major), int(minor)) for major, minor in found)
    return ".".join(str(n) for n in max(versions))


def metadata(version, torch):
    return f"""Metadata-Version: 2.1
Name: x2ctpa
Version: {version}
Summary: 3D CT pulmonary angiography volumes from chest X-rays
License: MIT
Classifier: Intended Audience :: Science/Research
Classifier: Operating System :: POSIX :: Linux
Requires-Python: >=3.10
Requires-Dist: torch=={torch}
Description-Content-Type: text/markdown

Chest X-rays to 3D CT pulmonary angiography volumes, by a latent 3D diffusion model: one program
that trains, samples and measures, on CPU and GPU. Research use only, not for diagnosis.

    x2ctpa --help
    x2ctpa phantom --config demo --run runs/demo
"""


def add_metadata(root, version, torch, tag):
    info = root / f"x2ctpa-{version}.dist-info"
    (info / "licenses").mkdir(parents=True)
    shutil.copy(SOURCE / "LICENSE", info / "licenses" / "LICENSE")
    (info / "METADATA").write_text(metadata(version, torch))
    (info / "WHEEL").write_text(
        f"Wheel-Version: 1.0\nGenerator: make_wheel\nRoot-Is-Purelib: false\nTag: {tag}\n"
    )
    (info / "entry_points.txt").write_text("[console_scripts]\nx2ctpa = x2ctpa.launch:main\n")
    return info


def write_wheel(root, info, target):
    """The archive with a hash of each file, in the same bytes whenever it is made."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    record = ""
    for file in files:
        hashed = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=")
        record += f"{file.relative_to(root)},sha256={hashed.decode()},{file.stat().st_size}\n"
    (info / "RECORD").write_text(record + f"{(info / 'RECORD').relative_to(root)},,\n")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in [*files, info / "RECORD"]:
            entry = zipfile.ZipInfo(str(file.relative_to(root)), (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100000 | (file.stat().st_mode & 0o755)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def make_wheel(prefix, libtorch, dist):
    version = output_of(str(prefix / "bin" / "x2ctpa"), "--version").split()[-1]
    torch = re.search(r"__version__ = '([^'+]+)", (libtorch / "version.py").read_text()).group(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        package = root / "x2ctpa"
        shutil.copytree(prefix, package)
        owners = bundle_libraries(package / "bin" / "x2ctpa", package)
        copy_licences(owners, package)
        set_run_path(package / "bin" / "x2ctpa", RUN_PATH)
        if (package / "lib" / "libx2ctpa_cuda.so").exists():
            set_run_path(package / "lib" / "libx2ctpa_cuda.so", ["$ORIGIN", *RUN_PATH[1:]])
        else:
            print(
                "make_wheel: without libx2ctpa_cuda.so: this wheel will use no GPU", file=sys.stderr
            )
        glibc = newest_glibc(package)
        cuda_too = [
            n for n in needed_by(libtorch / "lib" / "libtorch_cpu.so") if re.match("libcu", n)
        ]
        shutil.copy(SOURCE / "scripts/package/launch.py", package / "launch.py")
        (package / "__init__.py").write_text(f'__version__ = "{version}"\n')
        (package / "__main__.py").write_text(
            "from x2ctpa.launch import main\n\nraise SystemExit(main())\n"
        )
        (package / "built_with.py").write_text(
            f'TORCH = "{torch}"\nGLIBC = "{glibc}"\nNEEDED_BY_TORCH = {cuda_too}\n'
        )
        tag = f"py3-none-manylinux_{glibc.replace('.', '_')}_x86_64"
        info = add_metadata(root, version, torch, tag)
        add_bill_of_materials(package, info, version, torch, owners)
        dist.mkdir(parents=True, exist_ok=True)
        target = dist / f"x2ctpa-{version}-{tag}.whl"
        write_wheel(root, info, target)
    return target


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    wheel = make_wheel(*(Path(argument).absolute() for argument in sys.argv[1:]))
    print(f"{wheel} ({wheel.stat().st_size / 1e6:.1f} MB)")
