#include "x2ctpa/data/studies/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <functional>
#include <string>
#include <vector>

#include "data/synthetic_study.h"
#include "support/cost.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::error_of;
using test::TemporaryFolder;

// One member of an archive; `link` makes it a symbolic link.
struct Member {
  std::string name, content, link;
};

// Writes a zip or, by its name, a tar.gz.
void write_archive(const fs::path& file, const std::vector<Member>& members) {
  fs::create_directories(file.parent_path());
  struct ::archive* out = archive_write_new();
  if (file.extension() == ".zip") {
    archive_write_set_format_zip(out);
  } else {
    archive_write_set_format_pax_restricted(out);
    archive_write_add_filter_gzip(out);
  }
  ASSERT_EQ(archive_write_open_filename(out, file.c_str()), ARCHIVE_OK);
  for (const Member& m : members) {
    struct ::archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, m.name.c_str());
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(m.content.size()));
    archive_entry_set_filetype(entry, m.link.empty() ? AE_IFREG : AE_IFLNK);
    if (!m.link.empty()) archive_entry_set_symlink(entry, m.link.c_str());
    archive_write_header(out, entry);
    archive_write_data(out, m.content.data(), m.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
}

std::string file_bytes(const std::function<void(const fs::path&)>& write, const std::string& name) {
  const TemporaryFolder folder;
  write(folder / name);
  return read_file(folder / name);
}

TEST(Archive, UnpacksZipAndTarIntoAFolderThatVanishes) {
  TemporaryFolder folder;
  for (const char* name : {"a.zip", "a.tar.gz"}) {
    write_archive(folder / name, {{"x/one.txt", "1", ""}, {"./two.txt", "22", ""}});
    fs::path inside;
    {
      const Unpacked unpacked(folder / name);
      inside = unpacked.folder();
      EXPECT_EQ(read_file(inside / "x/one.txt"), "1");
      EXPECT_EQ(read_file(inside / "two.txt"), "22");
      EXPECT_EQ(fs::status(inside).permissions() & fs::perms::others_all, fs::perms::none);
    }
    EXPECT_FALSE(fs::exists(inside));
  }
}

TEST(Archive, NamesThatLeadOutOfItAreRefusedAndNothingIsWritten) {
  TemporaryFolder folder;
  for (const char* name : {"../../x2ctpa-escaped", "a/../../x2ctpa-escaped", "/tmp/x2ctpa-escaped",
                           "..\\..\\x2ctpa-escaped", "C:\\x2ctpa-escaped"}) {
    write_archive(folder / "slip.zip", {{"fine.txt", "1", ""}, {name, "evil", ""}});
    EXPECT_CONTAINS(error_of([&] { Unpacked unpacked(folder / "slip.zip"); }), "archive not used")
        << name;
  }
  EXPECT_FALSE(fs::exists(fs::temp_directory_path() / "x2ctpa-escaped"));
  EXPECT_FALSE(fs::exists(fs::temp_directory_path().parent_path() / "x2ctpa-escaped"));
}

TEST(Archive, NamesThatNoFileHasAreRefusedOrKept) {
  TemporaryFolder folder;
  for (const std::string& name : {std::string(4096, 'a'), "a/" + std::string(300, 'b'), [] {
                                    std::string deep;
                                    for (int i = 0; i < 1000; ++i) deep += "d/";
                                    return deep + "x";
                                  }()}) {
    write_archive(folder / "long.tar.gz", {{name, "1", ""}});
    EXPECT_CONTAINS(error_of([&] { Unpacked unpacked(folder / "long.tar.gz"); }), "too long");
  }
  write_archive(folder / "odd.zip", {{"a\nb.txt", "1", ""}, {"<script>.txt", "2", ""}});
  const Unpacked unpacked(folder / "odd.zip");
  EXPECT_EQ(read_file(unpacked.folder() / "a\nb.txt"), "1");
  EXPECT_EQ(read_file(unpacked.folder() / "<script>.txt"), "2");
}

// gzip takes a kilobyte for each megabyte of zeros, and this has 300.
TEST(Archive, ASmallArchiveThatUnpacksToMuchIsRefused) {
  TemporaryFolder folder;
  write_archive(folder / "bomb.tar.gz", {{"zeros", std::string(300 << 20, '\0'), ""}});
  EXPECT_LT(fs::file_size(folder / "bomb.tar.gz"), 1u << 20);
  EXPECT_CONTAINS(test::cost_checked([&] { Unpacked unpacked(folder / "bomb.tar.gz"); }, 64),
                  "bomb");
}

TEST(Archive, LinksAreLeftOut) {
  TemporaryFolder folder;
  write_archive(folder / "link.tar.gz", {{"out", "", "/etc"}, {"out/passwd-copy", "x", ""}});
  const Unpacked unpacked(folder / "link.tar.gz");
  EXPECT_FALSE(fs::is_symlink(unpacked.folder() / "out"));
  EXPECT_EQ(read_file(unpacked.folder() / "out/passwd-copy"), "x");
}

TEST(Archive, BombsAreRefusedBySizeRatioAndCount) {
  TemporaryFolder folder;
  write_archive(folder / "big.zip", {{"zeros", std::string(3 << 20, '\0'), ""}});
  ArchiveLimits limits;
  limits.bytes = 1 << 20;
  EXPECT_CONTAINS(error_of([&] { Unpacked unpacked(folder / "big.zip", limits); }), "bomb");
  limits = {};
  limits.files = 1;
  write_archive(folder / "many.zip", {{"a", "1", ""}, {"b", "2", ""}});
  EXPECT_CONTAINS(error_of([&] { Unpacked unpacked(folder / "many.zip", limits); }),
                  "more than 1 files");
}

TEST(Archive, DamageAtAnyByteGivesAReasonOrTheFiles) {
  TemporaryFolder folder;
  std::string noise(2000, ' ');
  for (size_t i = 0; i < noise.size(); ++i) noise[i] = char(i * 7919 >> 3);
  write_archive(folder / "a.zip", {{"a/b.txt", noise, ""}, {"c.txt", "22", ""}});
  const std::string bytes = read_file(folder / "a.zip");
  for (size_t n = 0; n < bytes.size(); n += 37) {
    for (const bool cut : {true, false}) {
      std::string broken = cut ? bytes.substr(0, n) : bytes;
      if (!cut) broken[n] = char(broken[n] ^ 0x55);
      write_file(folder / "b.zip", broken);
      const std::string error = error_of([&] { Unpacked unpacked(folder / "b.zip"); });
      if (error != "no error") {
        EXPECT_CONTAINS(error, "b.zip");
      }
    }
  }
}

TEST(Archive, StudiesInsideAreFoundAndNamedByTheArchive) {
  TemporaryFolder folder;
  const std::string volume = file_bytes(
      [](const fs::path& p) {
        write_nifti({torch::zeros({3, 3, 3})}, p, "test");
      },
      "ct.nii");
  const std::string xray =
      file_bytes([](const fs::path& p) { write_png16(test::picture(16, 0), p); }, "x.png");
  write_archive(folder / "in" / "patients.zip",
                {{"p1/ct.nii", volume, ""}, {"p1/x.png", xray, ""}, {"p2/x.png", xray, ""}});
  fs::path unpacked;
  {
    const auto studies = find_studies(folder / "in");
    ASSERT_EQ(studies.size(), 2u);
    EXPECT_EQ(studies[0].id, "patients.zip_p1");
    EXPECT_TRUE(fs::exists(studies[0].ct) && fs::exists(studies[0].cxr));
    EXPECT_EQ(as_given(studies[0], studies[0].ct.string()),
              (folder / "in" / "patients.zip").string() + "!/p1/ct.nii");
    unpacked = studies[0].ct;
  }
  EXPECT_FALSE(fs::exists(unpacked));
  EXPECT_EQ(find_studies(folder / "in" / "patients.zip").size(), 2u);
}

TEST(Archive, ARefusedArchiveIsAStudyWithItsReason) {
  TemporaryFolder folder;
  write_file(folder / "in" / "broken.zip", "PK no archive");
  const auto studies = find_studies(folder / "in");
  ASSERT_EQ(studies.size(), 1u);
  EXPECT_EQ(studies[0].refused_code, "archive-refused");
  EXPECT_CONTAINS(studies[0].refused, "broken.zip");
}

}  // namespace
}  // namespace x2ctpa
