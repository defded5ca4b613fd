#!/usr/bin/env bash
# Installs the wheel into a bare Debian 12 (debootstrap, with python3-venv alone), without a network,
# and runs the whole pipeline there in small. Needs root, debootstrap, a Debian mirror and PyPI.
#
#   scripts/test_package.sh [WHEEL]      default: the newest in dist
#
# KEEP=1 leaves the system in place, whose path it prints. DEBIAN=FOLDER copies a system that
# debootstrap made before.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "test_package: $*"; }
fail() { echo "test_package: $*" >&2; exit 1; }

[[ $(id -u) == 0 ]] || fail "making a system and changing into it needs root"
command -v debootstrap > /dev/null || fail "debootstrap is missing: apt-get install debootstrap"
wheel=${1:-$(find dist -name 'x2ctpa-*.whl' -printf '%T@ %p\n' 2> /dev/null | sort -n | tail -n 1 | cut -d ' ' -f 2)}
[[ -f $wheel ]] || fail "there is no wheel in dist: scripts/package.sh makes it"
torch=$(unzip -p "$wheel" '*/METADATA' | sed -n 's/^Requires-Dist: torch==//p')

root=$(mktemp -d /var/tmp/x2ctpa-debian-XXXXXX)
clean_up() {
  umount "$root/proc" 2> /dev/null || true
  if [[ -n ${KEEP:-} ]]; then say "left in place: $root"; else rm -rf --one-file-system "$root"; fi
}
trap clean_up EXIT

say "making Debian 12 in $root"
if [[ -n ${DEBIAN:-} ]]; then
  cp -a "$DEBIAN/." "$root"
else
  debootstrap --variant=minbase --include=python3-venv bookworm "$root" > "$root.log" 2>&1 ||
    { tail -n 5 "$root.log" >&2; fail "debootstrap failed, see $root.log"; }
  rm "$root.log"
fi
mount -t proc proc "$root/proc"  # debootstrap has made the few devices that are needed

say "what has to be carried to a machine without a network and GPU:"
mkdir -p "$root/wheels"
python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$root/wheels" \
  --python-version 3.11 --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 \
  --platform manylinux2014_x86_64 \
  -r "$(dirname "$wheel")/requirements-cpu.txt"
cp "$wheel" "$root/wheels"
ls -sh --block-size=M "$root/wheels"

# in_debian COMMAND: with no more of this machine's environment than it needs.
in_debian() {
  chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root GOMP_SPINCOUNT=5000 \
    /bin/bash -euo pipefail -c "cd /root; $1"
}

in_debian "python3 -m venv env && env/bin/pip install -q --no-index --no-deps /wheels/torch* /wheels/nvidia*"
say "installing the wheel, and its first words:"
time in_debian "env/bin/pip install -q --no-index --no-deps /wheels/x2ctpa* && env/bin/x2ctpa info"
in_debian "time env/bin/x2ctpa --help > /dev/null"

say "the pipeline in small"
few="--config demo --run run -q"
in_debian "
  x2ctpa() { echo \"x2ctpa \$*\"; env/bin/x2ctpa \"\$@\"; }
  x2ctpa phantom $few --phantom.patients 30
  x2ctpa preprocess $few
  x2ctpa train-vae $few --vae.train.steps 20 --vae.train.validate_every 20
  x2ctpa train-diffusion $few --diffusion.train.steps 20 --diffusion.train.validate_every 20 \\
    --diffusion.refiner.train.steps 20
  x2ctpa sample $few --split all --sample.sampler.steps 4
  for arm in cxr ctpa generated; do x2ctpa classify train $few --arm \$arm --classifier.train.steps 20; done
  x2ctpa evaluate $few || test \$? = 3
  test -s run/evaluation/report.html"

say "libraries from outside the environment, which may be glibc's alone:"
in_debian "
  packages=env/lib/python3.11/site-packages
  ldd \$packages/x2ctpa/bin/x2ctpa > ldd.txt
  if grep 'not found' ldd.txt; then exit 1; fi
  grep -v site-packages ldd.txt
  glibc='linux-vdso|/lib(64)?/(x86_64-linux-gnu/)?(ld-linux-x86-64|lib(c|m|dl|pthread|rt|util))\.so'
  if grep -v site-packages ldd.txt | grep -vE \"\$glibc\"; then exit 1; fi
  gomp=\$(grep -c libgomp ldd.txt); echo \"libgomp: \$gomp, \$(grep libgomp ldd.txt)\"; test \$gomp = 1"

say "a training that is interrupted"
in_debian "
  env/bin/x2ctpa train-diffusion --config demo --run run --force --diffusion.train.steps 5000 \\
    --diffusion.refiner.train.steps 20 2> log &
  program=\$!
  for ((i = 0; i < 1200; ++i)); do
    grep -q '\"step\":30[,}]' run/diffusion/metrics.jsonl && break; sleep 0.1
  done
  grep -o '/[^ ]*libgomp[^ ]*' /proc/\$program/maps | sort -u
  test \$(grep -o '/[^ ]*libgomp[^ ]*' /proc/\$program/maps | sort -u | wc -l) = 1
  kill -INT \$program; code=0; wait \$program || code=\$?
  echo \"exit code after SIGINT: \$code\"; test \$code = 130"

# wrong NAME EXPECTED COMMAND: exit code 1 and a sentence.
wrong() {
  say "$1:"
  local code=0 said
  said=$(in_debian "$3" 2>&1) || code=$?
  echo "$said"
  [[ $code == 1 && $said == *"$2"* ]] || fail "expected exit code 1 and \"$2\", found $code"
}
packages=env/lib/python3.11/site-packages
wrong "a GPU is asked for" "no NVIDIA driver" "env/bin/x2ctpa sample --config demo --run run --out other --device cuda"
wrong "another torch" "was built with torch $torch" "
  sed -i.old \"s/__version__ = '.*'/__version__ = '2.9.0+cu128'/\" $packages/torch/version.py; env/bin/x2ctpa info"
in_debian "mv $packages/torch/version.py.old $packages/torch/version.py"
wrong "torch without CUPTI" "libcupti.so.13" "
  env/bin/pip uninstall -qy nvidia-cuda-cupti; env/bin/x2ctpa info"
wrong "no torch" "torch is not installed" "env/bin/pip uninstall -qy torch; env/bin/x2ctpa info"
say "all good"
