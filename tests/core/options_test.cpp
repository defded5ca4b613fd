#include "x2ctpa/core/options.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/cost.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

enum class Kind { ddim, ddpm, two_parts };
constexpr auto words(Kind) { return std::array{"ddim", "ddpm", "two-parts"}; }

struct Inner {
  int64_t steps = 30;
  Kind kind = Kind::ddim;
  std::string text = "a";
  void describe(OptionList& o) {
    o.add("steps", &steps, "Steps.", {.min = 1, .max = 1000});
    o.add("kind", &kind, "Kind.");
    o.add("text", &text, "Text.", {.choices = {"a", "b"}});
  }
};
struct Outer {
  Inner sampler;
  double rate = 1e-4;
  std::vector<int64_t> grid{4, 8, 8};
  bool flip = false;
  std::string name;
  void describe(OptionList& o) {
    o.section("sampler", sampler);
    o.add("rate", &rate, "Rate.", {.min = 0});
    o.add("grid", &grid, "Grid.", {.min = 1, .count = 3});
    o.add("flip", &flip, "Flip.");
    o.add("name", &name, "Name.");
  }
};

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Options, TheDumpReadsBackToTheSameValues) {
  Outer a;
  a.sampler.steps = 7;
  a.sampler.kind = Kind::two_parts;
  a.rate = 0.1 + 0.2;
  a.grid = {1, 2, 3};
  a.name = "a: \"b\" # c";
  const auto file = std::filesystem::temp_directory_path() / "x2ctpa_options_test.yaml";
  write_file(file, options_to_yaml(a));
  const auto b = load_options<Outer>(file);
  EXPECT_EQ(b.sampler.steps, 7);
  EXPECT_EQ(b.sampler.kind, Kind::two_parts);
  EXPECT_EQ(b.rate, a.rate);
  EXPECT_EQ(b.grid, a.grid);
  EXPECT_EQ(b.name, a.name);
  std::filesystem::remove(file);
}

TEST(Options, AnUnknownKeyNamesTheNearestKnownOne) {
  Outer o;
  OptionList list;
  o.describe(list);
  const auto text = message_of([&] { list.set("sampler.stepps", "3", "--sampler.stepps"); });
  EXPECT_NE(text.find("did you mean \"sampler.steps\""), std::string::npos) << text;
}

TEST(Options, AWrongValueSaysWhatWasExpectedAndLeavesTheOldOne) {
  Outer o;
  OptionList list;
  o.describe(list);
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"sampler.steps", "0"},
                                                        {"sampler.steps", "3.5"},
                                                        {"sampler.steps", "many"},
                                                        {"sampler.kind", "euler"},
                                                        {"sampler.kind", ""},
                                                        {"sampler.text", "c"},
                                                        {"rate", "nan"},
                                                        {"rate", "-1"},
                                                        {"grid", "1,2"},
                                                        {"grid", "0,2,3"},
                                                        {"flip", "perhaps"}}) {
    const auto text =
        message_of([&, &key = key, &value = value] { list.set(key, value, "--flag"); });
    EXPECT_NE(text.find("must be"), std::string::npos) << key << " " << value << ": " << text;
  }
  EXPECT_EQ(o.sampler.steps, 30);
  EXPECT_EQ(o.sampler.kind, Kind::ddim);
  EXPECT_EQ(o.grid, (std::vector<int64_t>{4, 8, 8}));
}

TEST(Options, ALaterSourceWinsAndIsNamed) {
  Outer o;
  OptionList list;
  o.describe(list);
  list.set("rate", "0.5", "a.yaml");
  list.set("rate", "0.25", "--rate");
  EXPECT_EQ(o.rate, 0.25);
  EXPECT_NE(list.to_yaml(true).find("rate: 0.25  # --rate"), std::string::npos);
}

TEST(Options, AnEnumIsSetAndShownByItsWord) {
  Outer o;
  OptionList list;
  o.describe(list);
  list.set("sampler.kind", "two-parts", "--sampler.kind");
  EXPECT_EQ(o.sampler.kind, Kind::two_parts);
  EXPECT_NE(list.to_yaml().find("  kind: two-parts\n"), std::string::npos);
  EXPECT_NE(list.to_markdown("sampler").find(
                "| `sampler.kind` | one of ddim, ddpm, two-parts | `two-parts` | Kind. |"),
            std::string::npos);
  EXPECT_EQ(message_of([&] { list.set("sampler.kind", "dddim", "a.yaml"); }),
            "a.yaml: sampler.kind must be one of ddim, ddpm, two-parts, found \"dddim\". Meaning: "
            "Kind.");
  EXPECT_EQ(fmt::format("{}", o.sampler.kind), "two-parts");
}

TEST(Options, WordsAndTruthValuesAreTakenInAnyCase) {
  Outer o;
  OptionList list;
  o.describe(list);
  list.set("sampler.kind", "Two-Parts", "--sampler.kind");
  list.set("sampler.text", "B", "--sampler.text");
  list.set("flip", "True", "--flip");
  EXPECT_EQ(o.sampler.kind, Kind::two_parts);
  EXPECT_EQ(o.sampler.text, "b");
  EXPECT_TRUE(o.flip);
}

TEST(Options, AKeyThatStandsTwiceInAFileIsRefusedWithItsLine) {
  const auto file = std::filesystem::temp_directory_path() / "x2ctpa_options_twice.yaml";
  for (const auto& [text, told] : std::vector<std::pair<std::string, std::string>>{
           {"rate: 1\nflip: true\nrate: 2\n", "line 3: \"rate\" is there twice"},
           {"sampler: {steps: 3}\nsampler: {kind: ddpm}\n", "line 2: \"sampler\""},
           {"sampler: {steps: 3}\nsampler.steps: 4\n", "line 2: \"sampler.steps\""}}) {
    write_file(file, text);
    const auto message = message_of([&] { load_options<Outer>(file); });
    EXPECT_NE(message.find(told), std::string::npos) << message;
  }
  std::filesystem::remove(file);
}

// A kilobyte of references to references would become 2^30 keys, and one to itself never ends.
TEST(Options, ExperimentsThatMultiplyOrHoldThemselvesAreRefused) {
  const test::TemporaryFolder folder;
  std::string doubled = "a0: &a0 {x: 1}\n";
  for (int i = 1; i < 30; ++i)
    doubled += fmt::format("a{}: &a{} {{x: *a{}, y: *a{}}}\n", i, i, i - 1, i - 1);
  std::string nested;
  for (int i = 0; i < 300; ++i) nested += "{a: ";
  for (const std::string& text :
       {doubled, std::string("a: &a\n  b: *a\n"), "a: " + nested + "1" + std::string(300, '}'),
        "a: " + std::string(3000, '[')}) {
    write_file(folder / "bomb.yaml", text);
    Outer outer;
    OptionList list;
    outer.describe(list);
    const std::string error = test::cost_checked([&] { list.load_yaml(folder / "bomb.yaml"); }, 64);
    EXPECT_NE(error.find("bomb.yaml"), std::string::npos) << error;
  }
}

TEST(Options, AnEnumMayBeAllowedSomeOfItsWords) {
  Kind kind = Kind::ddpm;
  OptionList list;
  list.add("kind", &kind, "Kind.", {Kind::ddpm, Kind::ddim});
  EXPECT_EQ(option_type_text(list.all()[0]), "one of ddpm, ddim");
  EXPECT_NE(message_of([&] { list.set("kind", "two-parts", "--kind"); }), "no error");
  EXPECT_EQ(kind, Kind::ddpm);
}

struct WithALaterOption {
  int64_t old = 1, later = 3;
  void describe(OptionList& options) {
    options.add("old", &old, "One that was always there.");
    options.add("later", &later, "One that came later.", {.unwritten_at = "3"});
  }
};

TEST(Options, OneThatCameLaterIsWrittenOnlyWhereItIsUsed) {
  WithALaterOption options;
  EXPECT_EQ(options_to_yaml(options), "old: 1\n");
  options.later = 4;
  EXPECT_EQ(options_to_yaml(options), "old: 1\nlater: 4\n");
  options.later = 3;
  OptionList list;
  options.describe(list);
  EXPECT_NE(list.to_yaml(/*with_sources=*/true).find("later: 3"), std::string::npos);
}

}  // namespace
}  // namespace x2ctpa
