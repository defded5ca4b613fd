#include "x2ctpa/core/options.h"

#include <gtest/gtest.h>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

struct Inner {
  int64_t steps = 30;
  std::string kind = "ddim";
  void describe(OptionList& o) {
    o.add("steps", &steps, "Steps.", {.min = 1, .max = 1000});
    o.add("kind", &kind, "Kind.", {.choices = {"ddim", "ddpm"}});
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
  a.rate = 0.1 + 0.2;
  a.grid = {1, 2, 3};
  a.name = "a: \"b\" # c";
  const auto file = std::filesystem::temp_directory_path() / "x2ctpa_options_test.yaml";
  write_file(file, options_to_yaml(a));
  const auto b = load_options<Outer>(file);
  EXPECT_EQ(b.sampler.steps, 7);
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
                                                        {"rate", "nan"},
                                                        {"rate", "-1"},
                                                        {"grid", "1,2"},
                                                        {"grid", "0,2,3"},
                                                        {"flip", "perhaps"}}) {
    const auto text = message_of([&] { list.set(key, value, "--flag"); });
    EXPECT_NE(text.find("must be"), std::string::npos) << key << " " << value << ": " << text;
  }
  EXPECT_EQ(o.sampler.steps, 30);
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

}  // namespace
}  // namespace x2ctpa
