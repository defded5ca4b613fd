#include "x2ctpa/imaging/dicom/dicom_series.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "support/real_data.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using test::real_data;

const char* const cip = "ct_dicom/CIP_ct-64_79slices";
const char* const cases = "dicom_cases/series";

// The only series of a folder under `cases`.
DicomSeries only_series(const std::string& name) {
  const auto all = scan_dicom_folder(real_data(cases) / name);
  EXPECT_EQ(all.size(), 1u);
  return all.at(0);
}

TEST(DicomSeries, EqualsTheSameScanAsNrrdVoxelForVoxel) {
  X2CTPA_NEEDS_REAL_DATA(cip);
  const Volume dicom = oriented_to_lps(read_volume(real_data(cip)));
  const Volume nrrd = oriented_to_lps(read_volume(real_data("ct_volume/CIP_ct-64.nrrd")));
  ASSERT_EQ(dicom.size_dhw(), nrrd.size_dhw());
  EXPECT_LT((dicom.hu - nrrd.hu).abs().max().item<float>(), 1);
  for (int a = 0; a < 3; ++a) {
    EXPECT_NEAR(dicom.origin_mm[a], nrrd.origin_mm[a], 1e-3);
    EXPECT_NEAR(dicom.spacing_mm[a], nrrd.spacing_mm[a], 1e-3);
  }
}

TEST(DicomSeries, SpacingJitterBelowOnePercentIsHarmless) {
  X2CTPA_NEEDS_REAL_DATA(cip);
  const auto all = scan_dicom_folder(real_data(cip));
  ASSERT_EQ(all.size(), 1u);
  EXPECT_TRUE(all[0].problems.empty());
  EXPECT_FALSE(all[0].resampled);
}

TEST(DicomSeries, TwoMissingSlicesAreFilledAtTruePositions) {
  X2CTPA_NEEDS_REAL_DATA(cip);
  const test::TemporaryFolder folder;
  int n = 0;
  for (const auto& entry : fs::directory_iterator(real_data(cip))) {
    const auto name = entry.path().filename().string();
    if (name != "IMG0030.dcm" && name != "IMG0031.dcm") fs::copy(entry.path(), folder / name), ++n;
  }
  ASSERT_EQ(n, 77);
  const Volume whole = read_volume(real_data(cip)), filled = read_volume(folder.path());
  ASSERT_EQ(filled.size_dhw(), whole.size_dhw());
  const auto error = (filled.hu - whole.hu).abs().amax({1, 2});
  EXPECT_EQ((error > 1).sum().item<int64_t>(), 2);
}

TEST(DicomSeries, GantryTiltIsResampledAlongTheTrueAxes) {
  X2CTPA_NEEDS_REAL_DATA(cases);
  DicomSeries series = only_series("gantry_tilt_15deg_header_only");
  EXPECT_TRUE(series.has_problem("tilt"));
  const Volume volume = read_dicom_series(series);
  const DicomSeries plain = only_series("rle");
  // The spacing is measured along the normal, and the middle pixel of a slice stays where its
  // header puts it.
  EXPECT_NEAR(volume.spacing_mm[2], plain.spacing_mm[2] * std::cos(15 * M_PI / 180), 1e-2);
  const Volume untilted = read_volume(real_data(cases) / "rle");
  const int64_t slice = 17;
  Vec3 middle = series.slice_origins_mm[slice];
  for (int r = 0; r < 3; ++r)
    middle[r] += 30 * series.spacing_mm[0] * series.direction[r][0] +
                 40 * series.spacing_mm[1] * series.direction[r][1];
  const Vec3 index = volume.index(middle);
  EXPECT_NEAR(index[2], slice, 1e-3);
  const auto y = int64_t(std::floor(index[1]));
  const double f = index[1] - std::floor(index[1]);
  const auto column = volume.hu[slice].select(1, std::llround(index[0]));
  const double value = (1 - f) * column[y].item<float>() + f * column[y + 1].item<float>();
  // Interpolated twice, so it lies between the neighbours of the true pixel.
  const auto around = untilted.hu[slice].slice(0, 39, 42).select(1, 30);
  EXPECT_GE(value, around.min().item<float>() - 1);
  EXPECT_LE(value, around.max().item<float>() + 1);
}

TEST(DicomSeries, AFolderWithoutDicomIsNoUsableData) {
  const test::TemporaryFolder folder;
  write_file(folder / "readme.txt", "hello");
  try {
    read_volume(folder.path());
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::no_data);
  }
}

}  // namespace
}  // namespace x2ctpa
