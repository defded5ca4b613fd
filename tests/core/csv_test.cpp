#include "x2ctpa/core/csv.h"

#include <gtest/gtest.h>

#include <vector>

#include <string>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

TEST(Csv, QuotedFieldsSurviveARoundTrip) {
  CsvTable table({"id", "note"});
  table.add({"a", "comma, \"quote\"\nline"});
  table.add({"b", ""});
  const auto back = CsvTable::parse(table.text(), "t.csv");
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back.at(0, "note"), "comma, \"quote\"\nline");
  EXPECT_EQ(back.at(1, "note"), "");
}

TEST(Csv, WindowsLineEndsAndAByteOrderMarkAreAccepted) {
  const auto t = CsvTable::parse("\xef\xbb\xbfid,pe\r\nx,1\r\n\r\n", "t.csv");
  ASSERT_EQ(t.size(), 1u);
  EXPECT_EQ(t.at(0, "id"), "x");
  EXPECT_EQ(t.at(0, "pe"), "1");
}

TEST(Csv, ARowOfAnotherLengthIsRefusedWithItsLine) {
  try {
    CsvTable::parse("a,b\n1,2\n3\n", "t.csv");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("line 3"), std::string::npos) << e.what();
  }
}

TEST(Csv, SemicolonsAndTabsPartFieldsAsWell) {
  for (const char* text : {"id;cxr;pe\na;x,1.png;1\n", "id\tcxr\tpe\na\tx,1.png\t1\n"}) {
    const auto t = CsvTable::parse(text, "t.csv");
    ASSERT_EQ(t.columns().size(), 3u) << text;
    EXPECT_EQ(t.at(0, "cxr"), "x,1.png");
  }
  // A quoted name does not decide.
  EXPECT_EQ(CsvTable::parse("\"a;b;c\",d\n", "t.csv").columns().size(), 2u);
}

TEST(Csv, ColumnsAreMatchedWhateverTheirCaseAndTheOthersNamed) {
  auto t = CsvTable::parse("ID, Cxr ,PE,pe,Age\n1,x,0,1,50\n", "t.csv");
  EXPECT_EQ(t.match_columns({"id", "cxr", "pe"}), (std::vector<std::string>{"PE", "Age"}));
  EXPECT_EQ(t.at(0, "cxr"), "x");
  EXPECT_EQ(t.at(0, "pe"), "1") << "the column that has the very name wins";
}

TEST(Csv, ShortColumnsAreNotTakenForEachOther) {
  const auto t = CsvTable::parse("ID,CT,CXR,PE\n", "t.csv");
  try {
    t.require_columns({"ct"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("is it \"CT\""), std::string::npos) << e.what();
  }
  try {
    t.require_columns({"fold"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find("is it"), std::string::npos) << e.what();
  }
}

TEST(Csv, AMissingColumnNamesTheNearestOne) {
  const auto t = CsvTable::parse("patient,pe\n", "t.csv");
  try {
    t.require_columns({"patients"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("is it \"patient\""), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace x2ctpa
