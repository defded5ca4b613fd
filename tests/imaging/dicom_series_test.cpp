#include "x2ctpa/imaging/dicom_series.h"

#include <gtest/gtest.h>

#include <random>

#include "support/real_data.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/radiograph.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using test::real_data;

const char* const cip = "ct_dicom/CIP_ct-64_79slices";
const char* const cases = "dicom_cases/series";

/// The only series of a folder under `cases`.
DicomSeries only_series(const std::string& name) {
  const auto all = scan_dicom_folder(real_data(cases) / name);
  EXPECT_EQ(all.size(), 1u);
  return all.at(0);
}

TEST(DicomSeries, equals_the_same_scan_as_nrrd_voxel_for_voxel) {
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

TEST(DicomSeries, spacing_jitter_below_one_percent_is_harmless) {
  X2CTPA_NEEDS_REAL_DATA(cip);
  const auto all = scan_dicom_folder(real_data(cip));
  ASSERT_EQ(all.size(), 1u);
  EXPECT_TRUE(all[0].problems.empty());
  EXPECT_FALSE(all[0].resampled);
}

TEST(DicomSeries, names_and_compression_do_not_matter) {
  X2CTPA_NEEDS_REAL_DATA(cases);
  const Volume plain = read_volume(real_data(cases) / "per_slice_slope_intercept");
  for (const char* name : {"rle", "shuffled_names_no_ext"}) {
    const Volume other = read_volume(real_data(cases) / name);
    EXPECT_LT((plain.hu - other.hu).abs().max().item<float>(), 1) << name;
  }
}

TEST(DicomSeries, a_duplicate_is_dropped_and_reported) {
  X2CTPA_NEEDS_REAL_DATA(cases);
  DicomSeries series = only_series("duplicate_position");
  EXPECT_EQ(series.problems, std::vector<std::string>{"duplicate-position"});
  EXPECT_EQ(read_dicom_series(series).hu.size(0), 40);
}

TEST(DicomSeries, a_truncated_or_odd_slice_counts_as_missing_and_is_filled) {
  X2CTPA_NEEDS_REAL_DATA(cases);
  const Volume whole = read_volume(real_data(cases) / "rle");
  for (const auto& [name, code] : {std::pair("truncated_file", "unreadable-file"),
                                   std::pair("mixed_matrix_size", "mixed-size")}) {
    DicomSeries series = only_series(name);
    EXPECT_TRUE(series.has_problem(code)) << name;
    EXPECT_TRUE(series.has_problem("gap")) << name;
    const Volume volume = read_dicom_series(series);
    ASSERT_EQ(volume.size_dhw(), whole.size_dhw());
    EXPECT_NEAR(volume.spacing_mm[2], whole.spacing_mm[2], 1e-6);
    // Every slice but the filled one is as it was.
    const auto differs = (volume.hu - whole.hu).abs().amax({1, 2}) > 1;
    EXPECT_EQ(differs.sum().item<int64_t>(), 1) << name;
  }
}

TEST(DicomSeries, a_gap_past_the_limit_is_refused_with_its_size) {
  X2CTPA_NEEDS_REAL_DATA(cases);
  DicomSeries series = only_series("missing_slices");
  EXPECT_TRUE(series.has_problem("gap"));
  EXPECT_NE(series.reason.find("31.9"), std::string::npos) << series.reason;
  EXPECT_THROW(read_dicom_series(series), Error);
}

TEST(DicomSeries, two_missing_slices_are_filled_at_true_positions) {
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

TEST(DicomSeries, gantry_tilt_is_resampled_along_the_true_axes) {
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
    middle[r] += 30 * series.spacing_mm[0] * series.direction[r][0] + 40 * series.spacing_mm[1] * series.direction[r][1];
  const Vec3 index = volume.index(middle);
  EXPECT_NEAR(index[2], slice, 1e-3);
  const auto y = static_cast<int64_t>(std::floor(index[1]));
  const double f = index[1] - std::floor(index[1]);
  const auto column = volume.hu[slice].select(1, std::llround(index[0]));
  const double value = (1 - f) * column[y].item<float>() + f * column[y + 1].item<float>();
  // Interpolated twice, so it lies between the neighbours of the true pixel.
  const auto around = untilted.hu[slice].slice(0, 39, 42).select(1, 30);
  EXPECT_GE(value, around.min().item<float>() - 1);
  EXPECT_LE(value, around.max().item<float>() + 1);
}

TEST(DicomSeries, unknown_geometry_and_other_modalities_are_refused) {
  X2CTPA_NEEDS_REAL_DATA(cases);
  EXPECT_TRUE(only_series("no_pixel_spacing").has_problem("no-geometry"));
  EXPECT_FALSE(only_series("no_pixel_spacing").readable());
  EXPECT_TRUE(only_series("wrong_modality").has_problem("wrong-modality"));
  EXPECT_THROW(read_volume(real_data(cases) / "wrong_modality"), Error);
  EXPECT_THROW(read_volume(real_data(cases) / "no_pixel_spacing"), Error);
}

TEST(DicomSeries, of_two_series_one_is_chosen_and_the_choice_noted) {
  X2CTPA_NEEDS_REAL_DATA(cases);
  const auto folder = real_data(cases) / "two_series_one_folder";
  const auto all = scan_dicom_folder(folder);
  ASSERT_EQ(all.size(), 2u);
  const DicomSeries chosen = choose_ct_series(all, folder);
  EXPECT_NE(chosen.notes.back().find("2 CT series"), std::string::npos);
}

TEST(DicomSeries, a_folder_without_dicom_is_no_usable_data) {
  const test::TemporaryFolder folder;
  write_file(folder / "readme.txt", "hello");
  try {
    read_volume(folder.path());
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::no_data);
  }
}

TEST(DicomSlice, every_lossless_transfer_syntax_decodes_to_the_same_values) {
  X2CTPA_NEEDS_REAL_DATA("dicom_cases/transfer_syntax");
  const auto folder = real_data("dicom_cases/transfer_syntax");
  const auto plain = read_dicom_slice(folder / "CTImage.dcm");
  EXPECT_EQ(plain.min().item<float>(), -3024);
  EXPECT_EQ(plain.max().item<float>(), 1378);
  EXPECT_NEAR(plain.mean().item<float>(), -949.1, 0.1);
  int compared = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto name = entry.path().filename().string();
    for (const char* lossless : {"Deflated", "Process14SV1", "LittleEndianImplicit"})
      if (name.starts_with("CTImage.dcm_") && name.find(lossless) != std::string::npos) {
        EXPECT_TRUE(torch::equal(read_dicom_slice(entry.path()), plain)) << name;
        ++compared;
      }
  }
  EXPECT_EQ(compared, 3);
}

/// Reads `file` in every way there is; only Error may come out.
void read_in_every_way(const fs::path& file) {
  const auto attempt = [&](auto read) {
    try {
      read();
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(file.parent_path().filename().string()), std::string::npos) << e.what();
    }
  };
  attempt([&] { read_dicom_slice(file); });
  attempt([&] { read_radiograph(file); });
  attempt([&] { scan_dicom_folder(file.parent_path()); });
}

TEST(BrokenDicom, files_give_a_reason_and_never_a_crash) {
  X2CTPA_NEEDS_REAL_DATA("dicom_cases/broken_files");
  for (const auto& entry : fs::directory_iterator(real_data("dicom_cases/broken_files"))) read_in_every_way(entry.path());
  EXPECT_THROW(read_dicom_slice(real_data("dicom_cases/broken_files/MR_truncated.dcm")), Error);
}

// A sample, not a proof: from fixed seeds, 25 damaged copies of each file below, which cover explicit and
// implicit VRs, big endian, deflated, nested sequences, JPEG and RLE. Every other copy is cut off at a
// random byte; up to 8 bits are flipped within the first 2500 bytes, where headers lie. Damage inside
// compressed pixels beyond those is left to the decoders.
TEST(BrokenDicom, truncated_and_flipped_bytes_never_crash) {
  X2CTPA_NEEDS_REAL_DATA(cip);
  const test::TemporaryFolder folder;
  std::mt19937 random(7);
  const std::string syntax = "dicom_cases/transfer_syntax/CTImage.dcm_";
  for (const std::string& name :
       {std::string("ct_dicom/CIP_ct-64_79slices/IMG0040.dcm"), std::string("dicom_cases/series/rle/s010.dcm"),
        std::string("cxr/mono1/gdcm-CR-MONO1-10-chest.dcm"), std::string("cxr/rsna_dcm/PatientA.dcm"),
        std::string("dicom_cases/broken_files/ExplVR_BigEnd.dcm"),
        std::string("dicom_cases/broken_files/eCT_Supplemental.dcm"),
        std::string("dicom_cases/broken_files/no-pixel-data.dcm"),
        std::string("dicom_cases/transfer_syntax/CT_Implicit_Little_Headless_Retired.dcm"),
        syntax + "LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2.dcm",
        syntax + "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99.dcm"}) {
    const std::string bytes = read_file(real_data(name));
    for (int i = 0; i < 25; ++i) {
      std::string broken = bytes;
      if (i % 2 == 0) broken.resize(random() % bytes.size());
      const int flips = i % 3 == 0 ? 8 : i % 3;
      for (int k = 0; k < flips && !broken.empty(); ++k)
        broken[random() % std::min<size_t>(broken.size(), 2500)] ^= static_cast<char>(1u << (random() % 8));
      write_file(folder / "broken.dcm", broken);
      read_in_every_way(folder / "broken.dcm");
    }
  }
}

}  // namespace
}  // namespace x2ctpa
