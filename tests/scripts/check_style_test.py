"""scripts/check_style.sh finds a planted fault of each kind and passes a clean tree."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ("clang-format-14", "clang-tidy-14", "clang++-14", "shellcheck", ROOT / ".venv/bin/ruff")

CLEAN = """#include <string>

namespace x2ctpa {

std::string greeting() { return "hello"; }

}  // namespace x2ctpa
"""

# What is put into a source, and what is said about it.
RULES = {
    "/// Doubles.\nint twice(int x) { return 2 * x; }": "in sources a comment begins with //",
    "constexpr int kMost = 3;": "constants are lower_case: kMost",
    "torch::Tensor zero();": "write at::Tensor",
    "#include <torch/torch.h>": "include the parts",
    "double half(int x) { return static_cast<double>(x) / 2; }": "static_cast<double>",
    "TEST(Volume, is_read) {}": "claims in CamelCase",
    "TEST(volume_io, IsRead) {}": "names of test suites",
    "using testing_things = x2ctpa::testing::Things;": "live in x2ctpa::test",
    'void f(List& list, int x) { list.add("x", &x, "how many", {}); }': '"how many"',
    'void f(App& app) {\n  app.add_option("--x", x,\n    "How "\n    "many");\n}': '"How many"',
    "std::vector<int> all();": "std::vector needs #include <vector>",
    "auto text = fmt::format({});": "fmt::format needs #include <fmt/format.h>",
    "// " + "a line that could be broken " * 4: "columns, above 100",
}

NAMES = """class small_type {
  int count;
};
enum class Kind { Big };
int Twice(int In) {
  const int Out = 2 * In;
  return Out;
}
const int Most = 3;
template <class t>
t same(t x) {
  return x;
}
#define twice(x) x
"""


class Style(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        self.write("src/core/greeting.cpp", CLEAN)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, script, *arguments):
        done = subprocess.run([script, *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def test_each_rule_of_our_own_finds_its_fault(self):
        script = ROOT / "scripts/style_rules.py"
        self.assertEqual(self.check(script, self.root), (0, ""))
        for fault, told in RULES.items():
            with self.subTest(told):
                self.write("src/core/fault.cpp", f"\n{fault}\n")
                code, text = self.check(script, self.root)
                self.assertEqual(code, 1)
                self.assertRegex(text, r"^src/core/fault.cpp:\d+: ")
                self.assertIn(told, text)
                self.assertEqual(text.count("\n"), 1, text)

    def test_comments_and_strings_are_no_breach(self):
        self.write(
            "src/core/fine.cpp",
            "#include <string>\n\n// torch::Tensor, kMost and std::vector in words\n"
            'const char* text = "torch::Tensor kMost";\nint one = at::kFloat, two = f(c10::kCPU);\n'
            "std::string x;\n",
        )
        self.assertEqual(self.check(ROOT / "scripts/style_rules.py", self.root), (0, ""))

    def test_a_header_of_the_same_name_may_hold_the_include(self):
        self.write(
            "src/core/all.h", "#pragma once\n\n#include <vector>\n\nstd::vector<int> all();\n"
        )
        self.write(
            "src/core/all.cpp", '#include "core/all.h"\n\nstd::vector<int> all() { return {}; }\n'
        )
        self.assertEqual(self.check(ROOT / "scripts/style_rules.py", self.root), (0, ""))

    @unittest.skipUnless(all(map(shutil.which, map(str, TOOLS))), "scripts/setup.sh --style")
    def test_every_tool_finds_its_fault(self):
        for name in (".clang-format", ".clang-tidy", "ruff.toml"):
            shutil.copy(ROOT / name, self.root)
        (self.root / "scripts").mkdir()
        for name in ("check_style.sh", "check_names.py", "style_rules.py"):
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts")
        (self.root / ".venv").symlink_to(ROOT / ".venv")
        self.write(".gitignore", "/.venv\n/build\n")
        subprocess.run(["git", "init", "-q"], cwd=self.root, check=True)

        script = self.root / "scripts/check_style.sh"
        code, text = self.check(script)
        self.assertEqual(code, 0, text)

        self.write("src/core/format.cpp", "int  twice( int x );\n")
        self.write("src/core/names.cpp", NAMES)
        self.write("src/core/rules.cpp", "// std\nusing Texts = std::set<int>;\n")
        self.write("scripts/format.py", "x = { 'a' : 1 }\n")
        self.write("scripts/lint.py", "import os\n")
        self.write("scripts/quotes.sh", "#!/bin/sh\nrm $1\n")
        code, text = self.check(script)
        self.assertEqual(code, 1)
        for told in (
            "src/core/format.cpp:1:",
            "src/core/rules.cpp:2: std::set needs",
            "scripts/format.py",
            "scripts/lint.py:1:8: F401",
            "scripts/quotes.sh:2:4: note:",
        ):
            self.assertIn(told, text)
        for line, name in enumerate(("small_type", "count", "", "Big", "In", "Out", "", ""), 1):
            if name:
                self.assertRegex(text, rf"src/core/names.cpp:{line}: .*'{name}'")
        for name in ("Twice", "Most", "t", "twice"):
            self.assertRegex(text, rf"src/core/names.cpp:\d+: .*'{name}'")


if __name__ == "__main__":
    unittest.main()
