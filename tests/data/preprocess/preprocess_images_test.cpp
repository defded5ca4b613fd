// What preprocess makes of one study's images: masks, published resampling, rendered X-rays,
// windows.
#include <array>
#include <map>
#include <string>

#include "data/preprocess/small_preprocess.h"
#include "data/synthetic_study.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/preprocess/preprocess.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume/resample.h"

namespace x2ctpa {
namespace {

using test::error_of;
using test::TemporaryFolder;

PreprocessOptions small_image_options() {
  PreprocessOptions options = test::small_preprocess_options();
  options.cxr_size = 32;
  return options;
}

// The thorax with a manifest of one study; `columns` and `values` beside id and ct.
fs::path thorax_manifest(const TemporaryFolder& folder, const std::string& columns = "",
                         const std::string& values = "") {
  write_nifti(test::thorax(), folder / "ct.nii", "test");
  write_file(folder / "m.csv", "id,ct" + columns + "\na,ct.nii" + values + "\n");
  return folder / "m.csv";
}

Volume only_volume(const fs::path& set) {
  const Dataset dataset = Dataset::open(set);
  return dataset.load_volume(dataset.cases().at(0));
}

std::string only_rejection(const fs::path& set) {
  return CsvTable::read(set / "rejected.csv").at(0, "reason_code");
}

// A mask of the thorax: 1 in the ellipsoid of the left lung's middle, with the thorax' geometry.
Volume left_mask(double half_mm) {
  Volume mask = test::thorax();
  mask.hu.zero_();
  const auto index = mask.index({70, 0, 0});
  const auto half = int64_t(half_mm / 4);
  mask.hu.slice(0, int64_t(index[2]) - half, int64_t(index[2]) + half)
      .slice(1, int64_t(index[1]) - half, int64_t(index[1]) + half)
      .slice(2, int64_t(index[0]) - half, int64_t(index[0]) + half)
      .fill_(1);
  return mask;
}

TEST(PreprocessMask, TheManifestsMaskTakesThePlaceOfTheFoundLungs) {
  TemporaryFolder folder;
  write_nifti(left_mask(48), folder / "mask.nii", "mask");
  const auto manifest = thorax_manifest(folder, ",mask", ",mask.nii");
  preprocess(read_inputs({manifest}), small_image_options(), 0, folder / "set");
  const Volume volume = only_volume(folder / "set");
  EXPECT_NEAR(volume.centre_mm()[0], 70, 5);
  EXPECT_NEAR(volume.spacing_mm[0] * 24, 96, 8);
}

TEST(PreprocessMask, AMaskOfLungsMustBePlausibleAndAnyRegionGoesWithBoxMask) {
  TemporaryFolder folder;
  write_nifti(left_mask(16), folder / "mask.nii", "mask");
  const auto manifest = thorax_manifest(folder, ",mask", ",mask.nii");
  EXPECT_EQ(error_of([&] {
              preprocess(read_inputs({manifest}), small_image_options(), 0, folder / "lungs");
            }).find("none of 1 study"),
            0u);
  EXPECT_EQ(only_rejection(folder / "lungs"), "mask-unusable");
  PreprocessOptions options = small_image_options();
  options.box = BoxRule::mask;
  preprocess(read_inputs({manifest}), options, 0, folder / "region");
  EXPECT_NEAR(only_volume(folder / "region").spacing_mm[0] * 24, 32, 8);
}

TEST(PreprocessMask, BoxMaskWithoutAMaskAndAMissingFileAreRejectedWithCodes) {
  TemporaryFolder folder;
  PreprocessOptions options = small_image_options();
  options.box = BoxRule::mask;
  EXPECT_NE(error_of([&] {
              preprocess(read_inputs({thorax_manifest(folder)}), options, 0, folder / "none");
            }),
            "no error");
  EXPECT_EQ(only_rejection(folder / "none"), "no-mask");
  EXPECT_NE(error_of([&] {
              preprocess(read_inputs({thorax_manifest(folder, ",mask", ",absent.nii")}), options, 0,
                         folder / "absent");
            }),
            "no error");
  EXPECT_EQ(only_rejection(folder / "absent"), "missing-file");
}

TEST(PreprocessPublished, SpansTheBoxFromVoxelCentreToVoxelCentreInWholeHu) {
  TemporaryFolder folder;
  PreprocessOptions options = small_image_options();
  options.interpolation = GridInterpolation::published;
  options.box = BoxRule::none;
  preprocess(read_inputs({thorax_manifest(folder)}), options, 0, folder / "set");
  const Volume volume = only_volume(folder / "set"), source = test::thorax();
  for (size_t axis = 0; axis < 3; ++axis) {
    EXPECT_NEAR(volume.origin_mm[axis], source.origin_mm[axis], 1e-3);
    EXPECT_NEAR(volume.spacing_mm[axis] * double(volume.size_dhw()[2 - axis] - 1),
                4 * double(source.size_dhw()[2 - axis] - 1), 1e-3);
  }
  Volume clamped = source;
  clamped.hu = source.hu.round().clamp_min(-1024);
  EXPECT_TRUE(torch::equal(volume.hu, zoom_as_published(clamped, {12, 20, 24}).hu));
  options.field_of_view_mm = {100, 100, 100};
  EXPECT_CONTAINS(error_of([&] {
                    preprocess(read_inputs({thorax_manifest(folder)}), options, 0, folder / "fov");
                  }),
                  "field_of_view_mm");
}

TEST(PreprocessPublished, TheMarginWidensTheBoxByWholeVoxels) {
  TemporaryFolder folder;
  PreprocessOptions options = small_image_options();
  options.interpolation = GridInterpolation::published;
  options.margin_mm = 8;
  preprocess(read_inputs({thorax_manifest(folder)}), options, 0, folder / "set");
  const Volume volume = only_volume(folder / "set");
  // Lungs reach 120, 70 and 105 mm; two voxels of 4 mm more, and half a voxel less to the centres.
  const Vec3 expected = {252, 152, 222};
  for (size_t axis = 0; axis < 3; ++axis)
    EXPECT_NEAR(volume.spacing_mm[axis] * double(volume.size_dhw()[2 - axis] - 1), expected[axis],
                10)
        << axis;
}

TEST(PreprocessRendered, StudiesWithoutAnXrayGetOneWhenAsked) {
  TemporaryFolder folder;
  PreprocessOptions options = small_image_options();
  const auto manifest = thorax_manifest(folder);
  preprocess(read_inputs({manifest}), options, 0, folder / "none");
  EXPECT_TRUE(Dataset::open(folder / "none").cases()[0].cxr.empty());
  options.cxr_from_ct = CxrFromCt::missing;
  preprocess(read_inputs({manifest}), options, 0, folder / "missing");
  const Dataset set = Dataset::open(folder / "missing");
  const auto xray = set.load_cxr(set.cases().at(0))[0];
  // Lungs darker than the mediastinum, on both sides.
  const auto mean = [&](int64_t row, int64_t column) {
    return xray.slice(0, row, row + 4).slice(1, column, column + 3).mean().item<float>();
  };
  EXPECT_GT(mean(14, 14), mean(14, 9) + 0.1);
  EXPECT_GT(mean(14, 14), mean(14, 20) + 0.1);
}

TEST(PreprocessRendered, AllReplacesTheGivenXrayAndNoiseFollowsTheSeed) {
  TemporaryFolder folder;
  write_png16(torch::rand({32, 32}), folder / "x.png");
  const auto manifest = thorax_manifest(folder, ",cxr", ",x.png");
  PreprocessOptions options = small_image_options();
  options.cxr_from_ct = CxrFromCt::all;
  options.drr.photons = 2000;
  const auto made = [&](const char* name, int64_t seed) {
    preprocess(read_inputs({manifest}), options, seed, folder / name);
    const Dataset set = Dataset::open(folder / name);
    return set.load_cxr(set.cases().at(0));
  };
  const auto first = made("a", 1), again = made("b", 1), other = made("c", 2);
  EXPECT_TRUE(torch::equal(first, again));
  EXPECT_FALSE(torch::equal(first, other));
  EXPECT_LT((first - other).abs().mean().item<float>(), 0.05);
}

TEST(PreprocessXray, WhatIsNoChestFilmIsRejectedOnDemand) {
  TemporaryFolder folder;
  write_png16(torch::rand({64, 64}), folder / "x.png");
  write_file(folder / "m.csv", "id,cxr\na,x.png\n");
  PreprocessOptions options = small_image_options();
  EXPECT_EQ(preprocess(read_inputs({folder / "m.csv"}), options, 0, folder / "kept").cases, 1);
  options.cxr.refuse_not_chest = true;
  EXPECT_NE(error_of([&] {
              preprocess(read_inputs({folder / "m.csv"}), options, 0, folder / "refused");
            }),
            "no error");
  EXPECT_EQ(only_rejection(folder / "refused"), "cxr-not-chest");
}

TEST(PreprocessWindow, APresetReplacesTheWindow) {
  const std::map<std::string, std::array<double, 2>> presets{{"custom", {-10, 20}},
                                                             {"ctpa", {-200, 500}},
                                                             {"wide", {-100, 900}},
                                                             {"lung", {-1200, 600}},
                                                             {"lidc", {-1200, 600}}};
  TemporaryFolder folder;
  const auto manifest = thorax_manifest(folder);
  for (const auto& [name, window] : presets) {
    PreprocessOptions options = small_image_options();
    options.window.min_hu = -10, options.window.max_hu = 20;
    options.window_preset = find_word<WindowPreset>(name).value();
    const auto info = preprocess(read_inputs({manifest}), options, 0, folder / name).info;
    EXPECT_EQ(info.window.min_hu, window[0]) << name;
    EXPECT_EQ(info.window.max_hu, window[1]) << name;
  }
}

}  // namespace
}  // namespace x2ctpa
