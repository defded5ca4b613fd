#!/usr/bin/env bash
# Checks the style of every file: what CONTRIBUTING.md says and a program can see. Builds nothing.
#
#   scripts/check_style.sh
#
# Prints "file:line: text" for each breach, and how to mend it; exit code 1 when there is one. The
# tools come with: scripts/setup.sh --style
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in clang-format-14 clang-tidy-14 clang++-14 shellcheck .venv/bin/ruff; do
  command -v "$tool" > /dev/null && continue
  echo "check_style: $tool is missing; install it with: scripts/setup.sh --style" >&2
  exit 1
done

# Tracked files and new ones, by pattern.
files() { git ls-files --cached --others --exclude-standard -- "$@"; }
# Scripts without an ending as well.
shell_scripts() {
  files | while read -r file; do
    if [[ -f $file ]] && head -c 60 "$file" | head -n 1 | grep -aqE '^#!.*\b(ba)?sh\b'; then
      echo "$file"
    fi
  done
}

code=0
# check NAME REMEDY COMMAND...: a check that prints what it finds.
check() {
  local start=$SECONDS found
  if found=$("${@:3}" 2>&1); then
    echo "$1: good ($((SECONDS - start)) s)"
  else
    printf '%s\n%s: see above (%s s). %s\n' "$found" "$1" "$((SECONDS - start))" "$2"
    code=1
  fi
}

mapfile -t cpp < <(files '*.cpp' '*.h')
mapfile -t shell < <(shell_scripts)
# shellcheck disable=SC2317  # called by check
formatted() {
  local lines
  lines=$(clang-format-14 --dry-run "${cpp[@]}" 2>&1 | grep -E '^[^ ]+:[0-9]+:[0-9]+: ') || return 0
  echo "$lines"
  return 1
}

check "C++ format" "Mend it with: clang-format-14 -i FILE" formatted
check "rules of our own" "Each line says what to write instead." scripts/style_rules.py
check "Python format" "Mend it with: .venv/bin/ruff format" \
  .venv/bin/ruff format --check --output-format concise
check "Python" "Mend it with: .venv/bin/ruff check --fix, or by hand." \
  .venv/bin/ruff check --quiet --output-format concise
check "shell scripts" "https://www.shellcheck.net/wiki/ explains each number." \
  shellcheck -f gcc "${shell[@]}"
check "names" "Types are CamelCase, the rest lower_case, private members end with _ (.clang-tidy)." \
  scripts/check_names.py
exit $code
