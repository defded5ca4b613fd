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

// Found by scripts/fuzz.sh.
TEST(Csv, ASeparatorOrAMarkInTheHeaderAndALonelyEmptyFieldSurviveARoundTrip) {
  for (const std::string column : {"a\tb;c", "\xef\xbb\xbfid", ""}) {
    CsvTable table({column});
    table.add({""});
    const auto back = CsvTable::parse(table.text(), "t.csv");
    EXPECT_EQ(back.columns(), table.columns());
    ASSERT_EQ(back.size(), 1u);
    EXPECT_EQ(back.at(0, column), "");
  }
}

TEST(Csv, WindowsLineEndsAndAByteOrderMarkAreAccepted) {
  const auto t = CsvTable::parse("\xef\xbb\xbfid,pe\r\nx,1\r\n\r\n", "t.csv");
  ASSERT_EQ(t.size(), 1u);
  EXPECT_EQ(t.at(0, "id"), "x");
  EXPECT_EQ(t.at(0, "pe"), "1");
}

TEST(Csv, TextThatASpreadsheetWouldRunIsWrittenBehindAnApostropheAndReadAsItWas) {
  const std::vector<std::string> run{"=1+1", "+1+1",   "-1+1",   "@SUM(A1)", "=cmd|' /C calc'!A0",
                                     "\t=1", "\r=1",   "-",      "+",        "-3.5x",
                                     "'=1",  "''=1+1", "=\"x\"", "-1 2"};
  const std::vector<std::string> not_run{"-3.5", "+3.5", "-1e-300", "-inf", "-nan", "'",
                                         "'x",   "a=1",  "",        "1-2",  "'-3",  " =1"};
  for (const bool runs : {true, false}) {
    for (const auto& field : runs ? run : not_run) {
      CsvTable table({"id", field});
      table.add({field, "x"});
      const std::string text = table.text();
      const bool apostrophe = text.find("'" + field) != std::string::npos ||
                              text.find("\"'" + field.substr(0, 1)) != std::string::npos;
      EXPECT_EQ(apostrophe, runs) << text;
      const auto back = CsvTable::parse(text, "t.csv");
      EXPECT_EQ(back.at(0, "id"), field);
      EXPECT_EQ(back.columns(), table.columns());
    }
  }
  // As a spreadsheet saves a text cell.
  EXPECT_EQ(CsvTable::parse("id\n'=a\n'b\n'-3\n", "t.csv").at(0, "id"), "=a");
  EXPECT_EQ(CsvTable::parse("id\n'=a\n'b\n'-3\n", "t.csv").at(1, "id"), "'b");
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
