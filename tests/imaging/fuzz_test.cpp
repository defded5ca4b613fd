// Damaged copies of small files of every kind that is read from others. Seeded, so that a failure
// comes again. X2CTPA_FUZZ_ROUNDS sets the copies per file, X2CTPA_FUZZ_SEED the seed, and
// X2CTPA_FUZZ_KEEP a folder in which the copy at hand stays after a crash.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "support/dicom_bytes.h"
#include "support/real_data.h"
#include "support/temporary_folder.h"
#include "support/test_volumes.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using namespace test;

int64_t from_environment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoll(text) : otherwise;
}

// Nothing that is read may take more: 1 GiB of stored pixels, the same as float, and room to work.
constexpr int64_t memory_limit = int64_t{3} << 30;
constexpr unsigned seconds_limit = 280;

class Fuzz : public testing::Test {
 protected:
  Fuzz() : random_(uint32_t(from_environment("X2CTPA_FUZZ_SEED", 11))) {
    alarm(unsigned(
        from_environment("X2CTPA_FUZZ_SECONDS", seconds_limit)));  // a hang ends the process
    before_ = peak_memory_bytes();
  }
  ~Fuzz() override {
    alarm(0);
    EXPECT_LT(peak_memory_bytes() - before_, memory_limit);
    RecordProperty("copies", std::to_string(copies_));
    std::fprintf(stderr, "fuzz: %lld copies, %lld refused\n", static_cast<long long>(copies_),
                 static_cast<long long>(refused_));
  }

  size_t below(size_t n) { return n == 0 ? 0 : random_() % n; }

  // A damaged copy: cut, flipped bits, an overwritten block, a foreign length, a piece left out or
  // doubled, or noise behind the file's beginning.
  std::string damaged(const std::string& bytes) {
    std::string copy = bytes;
    const size_t kind = below(7);
    const size_t head = std::min<size_t>(copy.size(), below(2) ? 2500 : copy.size());
    if (kind == 0) copy.resize(below(copy.size()));
    for (size_t i = 0, n = kind == 1 ? 1 + below(8) : 0; i < n; ++i)
      copy[below(head)] ^= char(1u << below(8));
    if (kind == 2)
      for (size_t at = below(head), i = 0; i < 16 && at + i < copy.size(); ++i)
        copy[at + i] = char(random_());
    if (kind == 3) {
      static const uint32_t odd[] = {0,          1,          0x7FFFFFFF, 0x80000000,
                                     0xFFFFFFFF, 0xFFFFFFFE, 0x00010000, 0xFFFF};
      const uint32_t value = odd[below(8)];
      const size_t at = below(head);
      if (at + 4 <= copy.size()) std::memcpy(copy.data() + at, &value, 4);
    }
    if (kind == 4) copy.erase(below(head), 1 + below(64));
    if (kind == 5) copy.insert(below(head), copy.substr(below(head), 1 + below(64)));
    if (kind == 6)
      for (size_t at = below(head); at < copy.size(); ++at) copy[at] = char(random_());
    return copy;
  }

  // Reads damaged copies of `bytes` as `name` by each of `readers`; only Error may come out.
  void attack(const std::string& bytes, const std::string& name,
              const std::vector<std::function<void(const fs::path&)>>& readers, int64_t rounds) {
    const char* keep = std::getenv("X2CTPA_FUZZ_KEEP");
    const fs::path file = (keep ? fs::path(keep) : folder_.path()) / name;
    for (int64_t i = 0; i < from_environment("X2CTPA_FUZZ_ROUNDS", rounds); ++i) {
      write_file(file, damaged(bytes));
      ++copies_;
      bool refused = false;
      for (const auto& read : readers) {
        try {
          read(file);
        } catch (const Error& e) {
          refused = true;
          EXPECT_NE(std::string(e.what()).find(file.parent_path().filename().string()),
                    std::string::npos)
              << e.what();
        }
      }
      refused_ += refused;
    }
  }

  TemporaryFolder folder_;
  std::mt19937 random_;
  int64_t copies_ = 0, refused_ = 0, before_ = 0;
};

const std::vector<std::function<void(const fs::path&)>> dicom_readers = {
    [](const fs::path& f) { read_dicom_slice(f); }, [](const fs::path& f) { read_dicom_tags(f); },
    [](const fs::path& f) { read_radiograph(f); },
    [](const fs::path& f) {
      for (DicomSeries& s : scan_dicom_files({f}))
        if (s.readable()) read_dicom_series(s);
    }};

TEST_F(Fuzz, DicomOfEveryPlainSyntaxAndEnhancedGivesPixelsOrAReason) {
  const CtMaker ct{linear_field(rotation(5), {6, 12, 10})};
  for (const Syntax syntax :
       {Syntax::implicit_little, Syntax::explicit_little, Syntax::explicit_big}) {
    attack(ct.slice(2).file(syntax), "slice.dcm", dicom_readers, 150);
    attack(ct.enhanced({0, 1, 2, 3, 4, 5}).file(syntax), "enhanced.dcm", dicom_readers, 100);
  }
}

TEST_F(Fuzz, CompressedDicomGivesPixelsOrAReason) {
  X2CTPA_NEEDS_REAL_DATA("dicom_cases/transfer_syntax");
  std::vector<fs::path> files = {real_data("dicom_cases/series/rle/s010.dcm")};
  for (const char* folder :
       {"dicom_cases/transfer_syntax", "dicom_cases/broken_files", "cxr/mono1"})
    for (const auto& entry : fs::directory_iterator(real_data(folder)))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) attack(read_file(file), "compressed.dcm", dicom_readers, 10);
}

TEST_F(Fuzz, NoiseWithTheMagicOfDicomGivesAReason) {
  for (int64_t size : {140, 400, 4000}) {
    std::string bytes(size_t(size), '\0');
    for (char& c : bytes) c = char(random_());
    bytes.replace(128, 4, "DICM");
    attack(bytes, "noise.dcm", dicom_readers, 60);
  }
}

TEST_F(Fuzz, VolumeFilesGiveAVolumeOrAReason) {
  const Volume volume = linear_field(rotation(12));
  const auto read = [](const fs::path& f) { read_volume(f); };
  for (const char* name : {"a.nii", "a.nii.gz"}) {
    write_nifti(volume, folder_ / name, "x");
    attack(read_file(folder_ / name), name, {read}, 300);
  }
  const std::string voxels(2 * 3 * 4 * 2, '\1');
  attack(
      "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 3 4\n"
      "space directions: (1,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: little\n"
      "encoding: raw\nspace origin: (1,2,3)\n\n" +
          voxels,
      "a.nrrd", {read}, 500);
  attack(
      "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = "
      "False\nCompressedData = False\n"
      "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\nElementSpacing = 1 2 3\nDimSize = 2 3 "
      "4\n"
      "ElementType = MET_SHORT\nElementDataFile = LOCAL\n" +
          voxels,
      "a.mha", {read}, 500);
}

}  // namespace
}  // namespace x2ctpa
