// What the reader makes of a picture's looks: polarity, view, borders.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "support/real_data.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/dicom/dicom_write.h"
#include "x2ctpa/imaging/drr/drr.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/phantom/phantom.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

using test::real_data;

// A simulated patient, made once.
const Phantom& patient(int64_t index) {
  static std::map<int64_t, Phantom> made;
  const auto found = made.find(index);
  if (found != made.end()) return found->second;
  PhantomOptions options;
  options.ct_size = 64;
  options.slices = 40;
  options.cxr_size = 128;
  options.cxr_voxel_mm = 4;
  return made.emplace(index, make_phantom(options, 11, index)).first->second;
}

bool has_code(const Radiograph& xray, const std::string& code) {
  return std::find(xray.codes.begin(), xray.codes.end(), code) != xray.codes.end();
}

Radiograph read_back(const at::Tensor& picture, CxrInvert invert = CxrInvert::automatic) {
  const test::TemporaryFolder folder;
  write_png16(picture, folder / "a.png");
  return read_radiograph(folder / "a.png", invert);
}

TEST(ChestView, ASimulatedFrontalFilmIsAChestXrayOfEitherPolarity) {
  for (int64_t i = 0; i < 4; ++i) {
    const auto xray = read_back(patient(i).cxr);
    EXPECT_TRUE(xray.is_chest_xray) << i << " likeness " << xray.likeness;
    EXPECT_EQ(xray.view, "frontal");
    EXPECT_TRUE(xray.warnings.empty());
    const auto negative = read_back(1 - patient(i).cxr);
    EXPECT_TRUE(negative.inverted);
    EXPECT_TRUE(negative.is_chest_xray);
    EXPECT_TRUE(has_code(negative, "polarity"));
    EXPECT_LT((negative.pixels - xray.pixels).abs().max().item<float>(), 1e-3);
  }
}

TEST(ChestView, InvertNeverTrustsTheHeaderAndAlwaysTurnsItOver) {
  const auto& xray = patient(0).cxr;
  const auto never = read_back(1 - xray, CxrInvert::never);
  EXPECT_FALSE(never.inverted);
  EXPECT_TRUE(has_code(never, "polarity"));
  EXPECT_LT((never.pixels - (1 - xray)).abs().max().item<float>(), 1e-3);
  const auto always = read_back(xray, CxrInvert::always);
  EXPECT_TRUE(always.inverted);
  EXPECT_LT((always.pixels - (1 - xray)).abs().max().item<float>(), 1e-3);
}

TEST(ChestView, ADicomHeaderThatSaysTheWrongPolarityIsOverruledWithAWarning) {
  const test::TemporaryFolder folder;
  const auto& xray = patient(1).cxr;
  for (const bool mono1 : {false, true}) {
    CxrTags tags;
    tags.mono1 = mono1;
    write_cxr(xray, folder / "right.dcm", tags);
    write_cxr(1 - xray, folder / "wrong.dcm", tags);
    const auto right = read_radiograph(folder / "right.dcm");
    EXPECT_EQ(right.inverted, mono1);
    EXPECT_TRUE(right.warnings.empty());
    const auto wrong = read_radiograph(folder / "wrong.dcm");
    EXPECT_EQ(wrong.inverted, !mono1);
    EXPECT_TRUE(has_code(wrong, "polarity"));
    EXPECT_LT((wrong.pixels - right.pixels).abs().mean().item<float>(), 0.02);
  }
}

// `xray` inside a frame of `level`, `top` rows and `side` columns wide.
at::Tensor framed(const at::Tensor& xray, int64_t top, int64_t side, double level) {
  auto frame = at::full({xray.size(0) + 2 * top, xray.size(1) + 2 * side}, level);
  frame.slice(0, top, top + xray.size(0)).slice(1, side, side + xray.size(1)).copy_(xray);
  return frame;
}

TEST(WithoutBorders, ACollimatorSFrameGoesAndTheFilmStays) {
  const auto xray = patient(2).cxr * 0.7 + 0.15;
  for (const double level : {0.0, 1.0}) {
    const auto trimmed = without_borders(framed(xray, 9, 14, level));
    EXPECT_EQ(trimmed.sizes(), xray.sizes()) << level;
    const auto burnt = framed(xray, 9, 14, level);
    burnt[4].slice(0, 60, 66).fill_(0.5);  // a marker on the frame
    EXPECT_EQ(without_borders(burnt).sizes(), xray.sizes()) << level;
  }
}

TEST(WithoutBorders, NeverTakesMoreThanAFifthOfASide) {
  const auto xray = patient(2).cxr * 0.7 + 0.15;
  const auto wide = framed(xray, 60, 0, 1.0);
  EXPECT_EQ(without_borders(wide).sizes(), wide.sizes());
  const auto blank = at::zeros({40, 40});
  EXPECT_EQ(without_borders(blank).sizes(), blank.sizes());
}

TEST(WithoutBorders, LeaveSimulatedFilmsAlone) {
  for (int64_t i = 0; i < 4; ++i)
    EXPECT_EQ(without_borders(patient(i).cxr).sizes(), patient(i).cxr.sizes()) << i;
}

TEST(WithoutBorders, LeaveAtLeastNineTenthsOfARealFilm) {
  X2CTPA_NEEDS_REAL_DATA("cxr");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(real_data("cxr"))) {
    if (!is_radiograph_file(entry.path())) continue;
    const auto pixels = read_radiograph(entry.path()).pixels, kept = without_borders(pixels);
    for (int d = 0; d < 2; ++d)
      EXPECT_GE(double(kept.size(d)), 0.9 * double(pixels.size(d))) << entry.path();
  }
}

TEST(ChestView, AFrameChangesNeitherTheViewNorThePolarity) {
  const auto xray = patient(3).cxr * 0.8 + 0.1;
  const auto seen = read_back(framed(xray, 12, 12, 1.0));
  EXPECT_EQ(seen.view, "frontal") << seen.likeness;
  EXPECT_FALSE(seen.inverted);
  const auto negative = read_back(1 - framed(xray, 12, 12, 0.0));
  EXPECT_TRUE(negative.inverted) << negative.likeness;
}

TEST(ChestView, BarsThatMakeAPictureSquareDoNotMatter) {
  for (int64_t i = 0; i < 3; ++i) {
    const auto xray = patient(i).cxr * 0.8 + 0.1;
    for (const auto& [top, side] : {std::pair<int64_t, int64_t>{40, 0}, {0, 50}}) {
      const auto seen = read_back(framed(xray, top, side, 0.0));
      EXPECT_EQ(seen.view, "frontal") << i << " likeness " << seen.likeness;
    }
  }
}

// The patient seen from the side, as a volume turned by a quarter about the body's axis.
at::Tensor lateral(const Volume& ct) {
  Volume turned = ct;
  turned.hu = ct.hu.transpose(1, 2).contiguous();
  std::swap(turned.spacing_mm[0], turned.spacing_mm[1]);
  turned.direction = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  return drr_picture(turned, DrrOptions(), 0, "lateral");
}

TEST(ChestView, AViewFromTheSideIsNotTakenForAFrontalOne) {
  for (int64_t i = 0; i < 3; ++i) {
    const auto seen = read_back(lateral(patient(i).ct));
    EXPECT_NE(seen.view, "frontal") << i << " likeness " << seen.likeness;
    EXPECT_FALSE(seen.warnings.empty());
  }
}

TEST(ChestView, WhatIsNoChestFilmIsDoubtedAndRefusedOnDemand) {
  torch::manual_seed(1);
  const auto rows = at::linspace(0, 1, 96).reshape({96, 1}).expand({96, 96}).contiguous();
  auto board = at::zeros({96, 96});
  for (int64_t r = 0; r < 96; ++r)
    for (int64_t c = 0; c < 96; ++c) board[r][c] = (r / 12 + c / 12) % 2;
  const auto& ct = patient(0).ct.hu;
  const auto slice = ((ct[ct.size(0) / 2] + 1000) / 1400).clamp(0, 1);
  const std::map<std::string, at::Tensor> pictures{{"noise", at::rand({96, 96})},
                                                   {"ramp", rows},
                                                   {"board", board},
                                                   {"blank", at::full({96, 96}, 0.4)},
                                                   {"axial slice", slice}};
  const test::TemporaryFolder folder;
  for (const auto& [name, picture] : pictures) {
    write_png16(picture, folder / "a.png");
    const auto seen = read_radiograph(folder / "a.png");
    EXPECT_FALSE(seen.is_chest_xray) << name << " likeness " << seen.likeness;
    EXPECT_FALSE(seen.inverted) << name;
    CxrOptions options;
    EXPECT_FALSE(load_model_xray(folder / "a.png", 32, options).warnings.empty()) << name;
    options.refuse_not_chest = true;
    EXPECT_THROW(load_model_xray(folder / "a.png", 32, options), RefusedXray) << name;
  }
}

TEST(LoadModelXray, GivesASquarePictureWithoutTheFrame) {
  const test::TemporaryFolder folder;
  const auto xray = patient(0).cxr * 0.7 + 0.15;
  write_png16(framed(xray, 16, 16, 1.0), folder / "a.png");
  const auto trimmed = load_model_xray(folder / "a.png", 64);
  EXPECT_LT((trimmed.picture - square_radiograph(xray, 64)).abs().max().item<float>(), 1e-3);
  CxrOptions options;
  options.trim = false;
  EXPECT_GT(load_model_xray(folder / "a.png", 64, options).picture[0].min().item<float>(), 0.9);
}

TEST(ChestView, EveryRealChestFilmIsOneAndItsNegativeIsTurnedOver) {
  X2CTPA_NEEDS_REAL_DATA("cxr");
  const test::TemporaryFolder folder;
  int64_t xrays = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(real_data("cxr"))) {
    if (!is_radiograph_file(entry.path())) continue;
    ++xrays;
    const auto xray = read_radiograph(entry.path());
    EXPECT_TRUE(xray.is_chest_xray) << entry.path() << xray.likeness;
    EXPECT_EQ(xray.view, "frontal") << entry.path() << xray.likeness;
    EXPECT_EQ(xray.inverted, xray.photometric == "MONOCHROME1") << entry.path();
    write_png16(1 - xray.pixels, folder / "negative.png");
    EXPECT_TRUE(read_radiograph(folder / "negative.png").inverted) << entry.path();
    write_png16(xray.pixels.t().contiguous(), folder / "lying.png");
    EXPECT_NE(read_radiograph(folder / "lying.png").view, "frontal") << entry.path();
  }
  EXPECT_EQ(xrays, 15);
}

TEST(ChestView, ADentalFilmIsRefusedWithACode) {
  X2CTPA_NEEDS_REAL_DATA("not_chest");
  const auto file = real_data("not_chest/CR_dental_panoramic_ModalityLUT_MONO1_jpegll.dcm");
  EXPECT_FALSE(read_radiograph(file).is_chest_xray);
  CxrOptions options;
  options.refuse_not_chest = true;
  try {
    load_model_xray(file, 64, options);
    ADD_FAILURE() << "accepted";
  } catch (const RefusedXray& e) {
    EXPECT_EQ(e.reason_code(), "cxr-not-chest");
  }
}

}  // namespace
}  // namespace x2ctpa
