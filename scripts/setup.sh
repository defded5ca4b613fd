#!/usr/bin/env bash
# Installs what x2ctpa is built from: packages of the distribution, and LibTorch as the PyPI wheel in
# .venv, with numpy for scripts/convert_weights.py. Running it again installs only what is missing; when nothing is, it needs neither root nor
# a network.
#
#   scripts/setup.sh [--cpu | --cuda] [--style] [--x2ct]
#
#   --cpu    LibTorch with the two small CUDA libraries that it cannot be loaded without (1.3 GB).
#   --cuda   LibTorch with all its CUDA libraries (5.5 GB).
#            Default: --cuda where an NVIDIA driver is present, --cpu elsewhere.
#   --nccl   With --cpu, also NCCL (0.4 GB), whose headers are all that is missing to build the part
#            of the program that is for GPUs; --cuda has it.
#   --style  Also what scripts/check_style.sh runs: clang-format, clang-tidy, shellcheck and ruff.
#   --x2ct   Also Python with h5py in .venv-x2ct, for scripts/convert_x2ct.py (0.1 GB).
#
# Debian 12, Ubuntu 22.04 and 24.04. Tried from an empty Debian 12. Ubuntu has ITK in `universe`
# (22.04: 5.2.1, 24.04: 5.3.0); there the packages were only looked up.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TORCH_VERSION=2.14.1
readonly CUDA_VERSION=13.0  # the one that this wheel was built with
readonly NUMPY_VERSION=2.2.6  # the last for Python 3.10
readonly PACKAGES=(
  build-essential cmake ninja-build ccache git python3 python3-venv
  libinsighttoolkit5-dev libgdcm-dev libtiff-dev libjpeg-dev libpng-dev  # ITK, and four libraries below it that we call
  libarchive-dev  # studies in zip and tar files
  libgloo-dev  # headers only: the code is in LibTorch
  libcli11-dev libspdlog-dev libfmt-dev libyaml-cpp-dev nlohmann-json3-dev libssl-dev
  libgtest-dev libbenchmark-dev
  libjs-chart.js  # compiled into the report of `x2ctpa evaluate`
)
readonly STYLE_PACKAGES=(clang-14 clang-format-14 clang-tidy-14 shellcheck)
readonly RUFF_VERSION=0.17.6
readonly H5PY_VERSION=3.14.0  # the last for Python 3.10

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }

has_nvidia_driver() { [[ -e /proc/driver/nvidia ]] || nvidia-smi > /dev/null 2>&1; }

# shellcheck source=/dev/null
os_release() (. /etc/os-release && echo "${!1:-}")

require_known_system() {
  local id="" version="" name="this system"
  if [[ -r /etc/os-release ]]; then
    id=$(os_release ID)
    version=$(os_release VERSION_ID)
    name=$(os_release PRETTY_NAME)
  fi
  case "$id $version" in
    "debian 12" | "ubuntu 22.04" | "ubuntu 24.04") ;;
    *) fail "expected Debian 12, Ubuntu 22.04 or Ubuntu 24.04, found $name.
Elsewhere install these by hand under the names of your system, then LibTorch $TORCH_VERSION, and build with
  cmake --preset release -DLIBTORCH_ROOT=/path/to/libtorch && ninja -C build/release
Packages: ${PACKAGES[*]}" ;;
  esac
}

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2> /dev/null) == installed ]] || echo "$package"
  done
}

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo "$@"
  else
    fail "installing packages needs root, and there is no sudo. Run this script as root once."
  fi
}

install_packages() {
  local missing package unknown=()
  mapfile -t missing < <(missing_packages)
  if [[ ${#missing[@]} == 0 ]]; then
    say "packages: all ${#packages[@]} are there"
    return
  fi
  say "packages to install: ${missing[*]}"
  as_root apt-get update -qq
  for package in "${missing[@]}"; do
    apt-cache show "$package" > /dev/null 2>&1 || unknown+=("$package")
  done
  if [[ ${#unknown[@]} != 0 ]]; then
    fail "apt does not know: ${unknown[*]}. On Ubuntu they are in universe: sudo add-apt-repository universe"
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

make_venv() {
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "expected Python 3.10 or later, found $(python3 --version)"
  if ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
    say "making .venv"
    python3 -m venv --clear .venv
  fi
}

# pip writes RECORD last. A wheel that was cut off before that does not count, and pip would take it
# for installed.
drop_unfinished_wheels() {
  local info
  for info in .venv/lib/python3*/site-packages/*.dist-info; do
    [[ -e $info/RECORD ]] || rm -rf "$info"
  done
}

has_wheel() { compgen -G ".venv/lib/python3*/site-packages/$1-$2*.dist-info/RECORD" > /dev/null; }

has_libtorch_cpu() {
  has_wheel torch "$TORCH_VERSION" && has_wheel nvidia_cuda_runtime "$CUDA_VERSION" &&
    has_wheel nvidia_cuda_cupti "$CUDA_VERSION"
}

has_libtorch_cuda() { has_wheel torch "$TORCH_VERSION" && .venv/bin/python -m pip check > /dev/null 2>&1; }

install_libtorch() {
  drop_unfinished_wheels
  local pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
  if "has_libtorch_$1"; then
    say "LibTorch $TORCH_VERSION ($1): is there"
  elif [[ $1 == cuda ]]; then
    say "LibTorch $TORCH_VERSION with CUDA $CUDA_VERSION into .venv (5.5 GB)"
    "${pip[@]}" "torch==$TORCH_VERSION"
  else
    say "LibTorch $TORCH_VERSION for the CPU into .venv (1.3 GB)"
    "${pip[@]}" --no-deps "torch==$TORCH_VERSION" "nvidia-cuda-runtime==$CUDA_VERSION.*" \
      "nvidia-cuda-cupti==$CUDA_VERSION.*"
  fi
}

# The version of NCCL that LibTorch was built with.
install_nccl() {
  local wanted
  wanted=$(sed -n 's/^Requires-Dist: nvidia-nccl-cu13==\([0-9.]*\).*/\1/p' \
    .venv/lib/python3*/site-packages/"torch-$TORCH_VERSION.dist-info/METADATA")
  if has_wheel nvidia_nccl_cu13 "$wanted"; then
    say "NCCL $wanted: is there"
  else
    say "NCCL $wanted into .venv (0.4 GB)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "nvidia-nccl-cu13==$wanted"
  fi
}

# install_wheel NAME VERSION
install_wheel() {
  if has_wheel "$1" "$2"; then
    say "$1 $2: is there"
  else
    say "$1 $2 into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$1==$2"
  fi
}

install_h5py() {
  if .venv-x2ct/bin/python -c 'import h5py, numpy' > /dev/null 2>&1; then
    say "h5py: is there"
    return
  fi
  say "h5py $H5PY_VERSION into .venv-x2ct"
  python3 -m venv --clear .venv-x2ct
  .venv-x2ct/bin/python -m pip install --quiet --disable-pip-version-check \
    "h5py==$H5PY_VERSION" "numpy==$NUMPY_VERSION"
}

kind="" style="" nccl="" x2ct=""
for argument in "$@"; do
  case "$argument" in
    --cpu | --cuda) kind=${argument#--} ;;
    --style) style=1 ;;
    --nccl) nccl=1 ;;
    --x2ct) x2ct=1 ;;
    -h | --help) usage; exit 0 ;;
    *) fail "\"$argument\" is not known. Use --cpu, --cuda, --nccl, --style or --x2ct." ;;
  esac
done
if [[ -z $kind ]]; then
  if has_nvidia_driver; then kind=cuda; else kind=cpu; fi
fi

packages=("${PACKAGES[@]}")
if [[ -n $style ]]; then packages+=("${STYLE_PACKAGES[@]}"); fi

require_known_system
install_packages
make_venv
install_libtorch "$kind"
if [[ -n $nccl && $kind == cpu ]]; then install_nccl; fi
install_wheel numpy "$NUMPY_VERSION"
if [[ -n $style ]]; then install_wheel ruff "$RUFF_VERSION"; fi
if [[ -n $x2ct ]]; then install_h5py; fi
say "done"
