#!/usr/bin/env python3
"""The rules of style that neither clang-format nor clang-tidy knows (CONTRIBUTING.md).

    scripts/style_rules.py [ROOT]      default: the repository of this script

Prints "file:line: text" for each breach; exit code 1 when there is one. Needs Python alone.
"""

import re
import sys
from pathlib import Path

FOLDERS = ("include", "src", "tests", "bench", "docs")
LONGEST_LINE = 100

# What a name demands: one of the headers, in the file itself or in its own header.
HEADERS = {
    "algorithm": """all_of any_of clamp copy_if copy_n count count_if equal fill fill_n find find_if
        for_each generate is_sorted lower_bound max_element merge min_element minmax
        minmax_element mismatch next_permutation none_of nth_element partial_sort partition
        remove_if replace reverse rotate shuffle sort stable_sort transform unique
        upper_bound""",
    "array": "array",
    "atomic": "atomic atomic_bool atomic_flag",
    "barrier": "barrier",
    "bit": "bit_cast endian popcount",
    "cctype": "isalnum isalpha isdigit isspace isxdigit tolower toupper",
    "charconv": "from_chars to_chars",
    "chrono": "chrono",
    "cmath": """acos asin atan atan2 cbrt ceil copysign cos erf erfc exp exp2 expm1 fabs floor
        hypot isfinite isinf isnan ldexp llrint llround log log10 log1p lround nan nearbyint
        pow round sin sqrt tan tanh""",
    "condition_variable": "condition_variable",
    "csetjmp": "longjmp",
    "csignal": "sig_atomic_t signal",
    "cstdio": "fflush fprintf fputs printf",
    "cstdlib": "aligned_alloc atoi atoll free getenv strtod",
    "cstring": "memcmp memcpy memset strerror strlen",
    "ctime": "clock clock_t gmtime strftime time_t",
    "deque": "deque",
    "exception": "current_exception exception_ptr rethrow_exception",
    "filesystem": "filesystem",
    "fstream": "fstream ifstream ofstream",
    "functional": "function hash multiplies plus",
    "future": "async future future_status promise shared_future",
    "iostream": "cerr cin cout",
    "iterator": "back_inserter istreambuf_iterator",
    "limits": "numeric_limits",
    "list": "list",
    "map": "map multimap",
    "memory": "make_shared make_unique shared_ptr unique_ptr weak_ptr",
    "mutex": "call_once lock_guard mutex once_flag scoped_lock unique_lock",
    "numbers": "numbers",
    "numeric": "accumulate inner_product iota partial_sum reduce",
    "optional": "nullopt optional",
    "random": """bernoulli_distribution mt19937 mt19937_64 normal_distribution
        uniform_int_distribution uniform_real_distribution""",
    "regex": "regex regex_match regex_replace regex_search smatch sregex_iterator",
    "set": "multiset set",
    "span": "span",
    "sstream": "istringstream ostringstream stringstream",
    "stdexcept": "invalid_argument logic_error out_of_range runtime_error",
    "string": "getline stod stof stoi stol stoll stoull string to_string",
    "string_view": "string_view",
    "system_error": "errc error_code system_error",
    "thread": "this_thread thread",
    "tuple": "tie tuple",
    "unordered_map": "unordered_map",
    "unordered_set": "unordered_set",
    "utility": "exchange pair",
    "variant": "holds_alternative variant visit",
    "vector": "vector",
}
DEMANDS = {f"std::{name}": (header,) for header, names in HEADERS.items() for name in names.split()}
DEMANDS["std::error_code"] = ("system_error", "filesystem")
for fmt_name in ("format", "format_string", "print", "join"):
    DEMANDS[f"fmt::{fmt_name}"] = ("fmt/format.h", "fmt/ranges.h")

PLAIN_TYPES = (
    "bool|char|float|double|int|long|short|unsigned|"
    "(?:std::)?(?:size_t|ptrdiff_t|u?int(?:8|16|32|64)_t)"
)

# Patterns over the code without its comments and the contents of its strings.
PATTERNS = [
    (r"(?<![:\w])k[A-Z]\w*", "constants are lower_case: {}"),
    (r"\btorch::Tensor\b", "write at::Tensor for {}"),
    (r"#include <torch/(?:torch|all|nn)\.h>", "include the parts that are used, not all of {}"),
    (
        rf"\bstatic_cast<(?:{PLAIN_TYPES})>",
        "convert numbers by the type's name, as in double(x): {}",
    ),
    (r"\bTEST(?:_[FP])?\(\s*\w+\s*,\s*\w*_\w*", "names of tests are claims in CamelCase: {}"),
    (r"\bTEST(?:_[FP])?\(\s*\w*_\w*\s*,", "names of test suites are CamelCase: {}"),
    (r"\bx2ctpa::testing\b", "helpers of tests live in x2ctpa::test, not in {}"),
]

TOKEN = re.compile(
    r"""(?P<line>//[^\n]*)|(?P<block>/\*.*?\*/)
    |(?P<raw>R"(?P<mark>[^\s()\\]{0,16})\(.*?\)(?P=mark)")
    |(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<char>(?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)+')""",
    re.DOTALL | re.VERBOSE,
)


def blanked(text):
    """What stands for a comment or a string: as long, with its lines, and quotes for strings."""
    inner = re.sub(r"[^\n]", " ", text)
    return f'"{inner[1:-1]}"' if text.endswith('"') else inner


def without(text, kinds):
    """`text` with the tokens of these kinds blanked; every offset stays."""
    return TOKEN.sub(
        lambda m: blanked(m[0]) if m.lastgroup in kinds or (m["raw"] and "raw" in kinds) else m[0],
        text,
    )


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def includes(text):
    return set(re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text, re.MULTILINE))


def arguments(code, start):
    """The arguments of the call whose opening bracket is at `start`, as (offset, end) pairs."""
    depth, begin, found = 0, start + 1, []
    for match in re.finditer(r'"(?:[^"\\\n]|\\.)*"|[()\[\]{},]', code[start:]):
        at = start + match.start()
        if match[0] in "([{":
            depth += 1
        elif match[0] in ")]}":
            depth -= 1
            if depth == 0:
                return [*found, (begin, at)]
        elif match[0] == "," and depth == 1:
            found.append((begin, at))
            begin = at + 1
    return found


class Checker:
    def __init__(self, root):
        self.root = root
        self.breaches = []
        self.texts = {}

    def text(self, path):
        if path not in self.texts:
            self.texts[path] = path.read_text(encoding="utf-8")
        return self.texts[path]

    def tell(self, path, line, text):
        self.breaches.append(f"{path.relative_to(self.root)}:{line}: {text}")

    def check(self, path):
        text = self.text(path)
        code = without(text, {"line", "block", "string", "raw", "char"})
        self.check_lines(path, text)
        for pattern, advice in PATTERNS:
            for match in re.finditer(pattern, code):
                self.tell(
                    path, line_of(code, match.start()), advice.format(" ".join(match[0].split()))
                )
        self.check_option_texts(path, without(text, {"line", "block"}))
        self.check_includes(path, text, code)

    def check_lines(self, path, text):
        for number, line in enumerate(text.splitlines(), 1):
            breakable = " " in line.strip().removeprefix("//").strip()
            if len(line) > LONGEST_LINE and breakable:
                self.tell(path, number, f"the line has {len(line)} columns, above {LONGEST_LINE}")
            if path.suffix == ".cpp" and re.match(r"\s*///", line):
                self.tell(path, number, "/// is for headers; in sources a comment begins with //")

    def check_option_texts(self, path, code):
        """The texts that `x2ctpa --help` and docs/options.md show."""
        call = r'\b\w+(?:\.|->)(add(?=\(\s*"[^"]*"\s*,\s*&)|add_option|add_flag)\('
        for match in re.finditer(call, code):
            # The last argument that is a literal; the first one is the name.
            for begin, end in arguments(code, match.end() - 1)[:0:-1]:
                argument = code[begin:end].strip().removeprefix("fmt::format(")
                if not argument.startswith('"'):
                    continue
                words = "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', argument))
                # Or with a value that it explains, as in "ddim: few steps".
                if not re.fullmatch(r"([A-Z0-9{<]|[a-z0-9_-]+: ).*\.", words):
                    line = line_of(code, end - len(code[begin:end].lstrip()))
                    advice = "an option's text begins with a capital and ends with a stop"
                    self.tell(path, line, f'{advice}: "{words}"')
                break

    def check_includes(self, path, text, code):
        has = includes(text)
        for header in list(has):
            if path.suffix == ".cpp" and Path(header).stem == path.stem:
                for folder in ("include", "src", "tests"):
                    if (own := self.root / folder / header).exists():
                        has |= includes(self.text(own))
        told = set()
        for match in re.finditer(r"\b(?:std|fmt)::\w+", code):
            headers = DEMANDS.get(match[0])
            if headers and not has.intersection(headers) and match[0] not in told:
                told.add(match[0])
                self.tell(
                    path, line_of(code, match.start()), f"{match[0]} needs #include <{headers[0]}>"
                )


def breaches(root):
    checker = Checker(root)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".cpp", ".h"):
                checker.check(path)
    return checker.breaches


def main(argv):
    root = Path(argv[1]) if len(argv) > 1 else Path(__file__).resolve().parent.parent
    found = breaches(root.resolve())
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
