#include "x2ctpa/core/files.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_folder.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

TEST(PartialFile, LiesBesideTheWholeOneUnderANameOfItsOwn) {
  const fs::path first = partial_path("folder/12-a.nii.gz");
  EXPECT_EQ(first.parent_path(), "folder");
  EXPECT_TRUE(first.string().ends_with("-12-a.nii.gz"));
  EXPECT_NE(first, partial_path("folder/12-a.nii.gz"));
  EXPECT_EQ(name_of_partial(first), "12-a.nii.gz");
}

TEST(PartialFile, OnlyItsNamesAreTakenForOne) {
  EXPECT_EQ(name_of_partial("x/.part-7-0-case"), "case");
  for (const char* other : {"case.nii", ".part-", ".part-7-0", ".part-7-case", ".part-a-0-case"})
    EXPECT_EQ(name_of_partial(other), "") << other;
}

TEST(WriteFile, ALinkInTheWayIsReplacedAndWhatItNamesStays) {
  const test::TemporaryFolder folder;
  write_file(folder / "elsewhere/secret", "mine");
  fs::create_directory(folder / "out");
  fs::create_symlink(folder / "elsewhere/secret", folder / "out/file.csv");
  fs::create_symlink(folder / "elsewhere", folder / "out/.part-1-1-old");
  write_file(folder / "out/file.csv", "new");
  remove_partial_files(folder / "out");
  EXPECT_FALSE(fs::is_symlink(folder / "out/file.csv"));
  EXPECT_FALSE(fs::exists(folder / "out/.part-1-1-old"));
  EXPECT_EQ(read_file(folder / "out/file.csv"), "new");
  EXPECT_EQ(read_file(folder / "elsewhere/secret"), "mine");
}

TEST(PartialFile, WhatAKilledWriterLeftIsRemovedAndNothingElse) {
  const test::TemporaryFolder folder;
  write_file(folder / ".part-7-0-case.nii", "left behind");
  write_file(folder / ".part-7-1-patient" / "ct" / "1.dcm", "left behind");
  write_file(folder / "case.nii", "whole");
  remove_partial_files(folder.path());
  EXPECT_FALSE(fs::exists(folder / ".part-7-0-case.nii"));
  EXPECT_FALSE(fs::exists(folder / ".part-7-1-patient"));
  EXPECT_TRUE(fs::exists(folder / "case.nii"));
  remove_partial_files(folder / "missing");
}

}  // namespace
}  // namespace x2ctpa
