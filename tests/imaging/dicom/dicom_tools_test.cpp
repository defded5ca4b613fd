// What tools of others say of the DICOM files that are written: dicom3tools, dcmtk, dcm2niix and
// pydicom, each where it is installed.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "support/test_volumes.h"
#include "x2ctpa/imaging/dicom/dicom_export.h"
#include "x2ctpa/imaging/dicom/dicom_write.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

bool succeeds(const std::string& line) {
  return std::system((line + " >/dev/null 2>&1").c_str()) == 0;
}

std::vector<std::string> output_of(const std::string& line) {
  FILE* pipe = popen((line + " 2>&1").c_str(), "r");
  std::string text;
  char buffer[4096];
  for (size_t n; pipe && (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  if (pipe) pclose(pipe);
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string one; std::getline(stream, one);) lines.push_back(one);
  return lines;
}

class DicomTools : public testing::Test {
 protected:
  DicomTools() : volume_(test::linear_field(test::rotation(0), {6, 12, 10})) {
    write_synthetic_series(
        volume_, series(),
        {.subject_id = "S1", .derivation = "made", .version = "1", .unique = "u"});
    write_ct_series(volume_, folder_ / "phantom", {"P1", "F", 1});
    write_cxr(at::rand({40, 40}), folder_ / "cxr.dcm",
              {{"P1", "F", 1}, false, CxrView::frontal, 0.5});
  }

  fs::path series() const { return folder_ / "series"; }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found{folder_ / "cxr.dcm"};
    for (const auto& folder : {series(), folder_ / "phantom"})
      for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path());
    return found;
  }

  test::TemporaryFolder folder_;
  Volume volume_;
};

TEST_F(DicomTools, DciodvfyFindsNoError) {
  if (!succeeds("command -v dciodvfy")) GTEST_SKIP() << "dicom3tools is not installed";
  for (const fs::path& file : files()) {
    const auto lines = output_of("dciodvfy " + file.string());
    EXPECT_GE(lines.size(), 1u);
    for (const std::string& line : lines) {
      // Synthetic Data is of the standard of 2023; distributions have the dictionary of 2022.
      const bool newer = line.find("(0x0008,0x001c)") != std::string::npos;
      EXPECT_TRUE(!line.starts_with("Error") || newer) << file << ": " << line;
    }
  }
}

TEST_F(DicomTools, DcmtkReadsEveryFile) {
  if (!succeeds("command -v dcmftest")) GTEST_SKIP() << "dcmtk is not installed";
  for (const fs::path& file : files()) {
    EXPECT_TRUE(succeeds("dcmftest " + file.string())) << file;
    EXPECT_TRUE(succeeds("dcmdump -E " + file.string())) << file;
  }
}

TEST_F(DicomTools, Dcm2niixMakesTheSameVolume) {
  if (!succeeds("command -v dcm2niix")) GTEST_SKIP() << "dcm2niix is not installed";
  for (const auto& folder : {series(), folder_ / "phantom"}) {
    const fs::path out = folder_ / ("nifti-" + folder.filename().string());
    fs::create_directory(out);
    ASSERT_TRUE(succeeds(
        fmt::format("dcm2niix -b n -z n -f made -o {} {}", out.string(), folder.string())));
    const Volume made = oriented_to_lps(read_volume(out / "made.nii"));
    const Volume wanted = oriented_to_lps(volume_);
    ASSERT_EQ(made.size_dhw(), wanted.size_dhw());
    EXPECT_LE((made.hu - wanted.hu).abs().max().item<float>(), 0.51f);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(made.origin_mm[i], wanted.origin_mm[i], 1e-3);
      EXPECT_NEAR(made.spacing_mm[i], wanted.spacing_mm[i], 1e-4);
    }
  }
}

TEST_F(DicomTools, PydicomReadsEveryFileWithoutAWarning) {
  const std::string chosen =
      std::getenv("X2CTPA_PYDICOM") ? std::getenv("X2CTPA_PYDICOM") : "python3";
  if (!succeeds(chosen + " -c 'import pydicom'"))
    GTEST_SKIP() << "pydicom is not installed; X2CTPA_PYDICOM may name a Python that has it";
  for (const fs::path& file : files()) {
    const auto lines = output_of(
        fmt::format("{} -W error -c 'import sys, pydicom; d = pydicom.dcmread(sys.argv[1]); "
                    "list(d.iterall()); print(len(d.PixelData) == 2 * d.Rows * d.Columns)' {}",
                    chosen, file.string()));
    ASSERT_EQ(lines.size(), 1u) << file << ": " << lines.back();
    EXPECT_EQ(lines[0], "True");
  }
}

}  // namespace
}  // namespace x2ctpa
