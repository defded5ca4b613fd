#include "x2ctpa/imaging/xray/radiograph.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/dicom_bytes.h"
#include "support/real_data.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::real_data;

TEST(Png, SixteenBitsRoundTrip) {
  const test::TemporaryFolder folder;
  const auto picture = at::rand({31, 47});
  write_png16(picture, folder / "a.png");
  EXPECT_LT((read_png(folder / "a.png") - picture).abs().max().item<float>(), 1.0 / 65535);
}

TEST(Png, EightBitsGreyAndColourRoundTrip) {
  const test::TemporaryFolder folder;
  const auto picture = at::rand({20, 33});
  write_png8(picture, folder / "a.png");
  EXPECT_LT((read_png(folder / "a.png") - picture).abs().max().item<float>(), 1.0 / 255);
  auto colour = at::zeros({3, 20, 33});
  colour[0].fill_(1);
  write_png8(colour, folder / "b.png");
  const auto xray = read_radiograph(folder / "b.png");
  EXPECT_NEAR(xray.pixels[3][4].item<float>(), 0.299, 1e-3);
  EXPECT_FALSE(xray.warnings.empty());
}

TEST(Png, BytesAreThoseOfTheFile) {
  const test::TemporaryFolder folder;
  const auto picture = at::rand({8, 9});
  write_png8(picture, folder / "a.png");
  EXPECT_EQ(png8_bytes(picture), read_file(folder / "a.png"));
}

TEST(SquareRadiograph, KeepsProportionsAndFillsTheSides) {
  const auto square = square_radiograph(at::ones({40, 20}), 40, 0.25);
  EXPECT_EQ(square[20][2].item<float>(), 0.25f);
  EXPECT_EQ(square[20][20].item<float>(), 1);
  EXPECT_EQ(square_radiograph(at::ones({40, 20}), 16).sizes(), at::IntArrayRef({16, 16}));
}

TEST(SquareRadiograph, ShrinkingDoesNotAlias) {
  auto stripes = at::zeros({64, 64});
  stripes.slice(1, 0, 64, 2).fill_(1);
  EXPECT_LT((square_radiograph(stripes, 8).slice(1, 1, 7) - 0.5).abs().max().item<float>(), 0.02);
}

TEST(ReadRadiograph, APictureOfOnePixelIsRefused) {
  const test::TemporaryFolder folder;
  write_png8(at::ones({1, 1}), folder / "a.png");
  EXPECT_THROW(read_radiograph(folder / "a.png"), Error);
}

TEST(ReadRadiograph, AnUnusualShapeIsDoubted) {
  const test::TemporaryFolder folder;
  write_png8(at::rand({40, 100}), folder / "a.png");
  EXPECT_FALSE(read_radiograph(folder / "a.png").warnings.empty());
}

TEST(ReadRadiograph, DamagedPicturesGiveAnErrorWithTheirPath) {
  const test::TemporaryFolder folder;
  write_png8(at::rand({64, 64}), folder / "a.png");
  const std::string bytes = read_file(folder / "a.png");
  for (size_t length : {0, 4, 20, 60}) {
    write_file(folder / "b.png", bytes.substr(0, length));
    EXPECT_THROW(read_radiograph(folder / "b.png"), Error) << length;
  }
}

// Mean of the middle columns (spine and heart) over that of the fields to their sides (lungs).
double middle_over_lungs(const at::Tensor& pixels) {
  const auto x = square_radiograph(pixels, 100);
  const double middle = x.slice(0, 40, 80).slice(1, 45, 55).mean().item<float>();
  return middle - 0.5 * (x.slice(0, 40, 55).slice(1, 22, 34) + x.slice(0, 40, 55).slice(1, 66, 78))
                            .mean()
                            .item<float>();
}

TEST(ReadRadiograph, BoneIsBrightWhateverThePhotometricInterpretation) {
  X2CTPA_NEEDS_REAL_DATA("cxr");
  const auto inverted = read_radiograph(real_data("cxr/mono1/gdcm-CR-MONO1-10-chest.dcm"));
  EXPECT_TRUE(inverted.inverted);
  EXPECT_EQ(inverted.bits, 10);
  EXPECT_GT(middle_over_lungs(inverted.pixels), 0);
  const auto plain = read_radiograph(real_data("cxr/rsna_dcm/PatientA.dcm"));
  EXPECT_FALSE(plain.inverted);
  EXPECT_GT(middle_over_lungs(plain.pixels), 0);
  EXPECT_NEAR(plain.spacing_mm[0], 0.143, 1e-9);
}

TEST(ReadRadiograph, RealChestFilmsRaiseNoDoubt) {
  X2CTPA_NEEDS_REAL_DATA("cxr");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(real_data("cxr"))) {
    if (!is_radiograph_file(entry.path())) continue;
    const auto xray = read_radiograph(entry.path());
    EXPECT_TRUE(xray.warnings.empty()) << entry.path() << xray.warnings.front();
    EXPECT_GE(xray.pixels.min().item<float>(), 0);
    EXPECT_LE(xray.pixels.max().item<float>(), 1);
    EXPECT_GT(xray.pixels.std().item<float>(), 0.05);
  }
}

TEST(ReadRadiograph, AnXrayWithoutEndingAndPreambleIsKnownByItsContent) {
  const test::TemporaryFolder folder;
  write_file(folder / "xray.dcm", test::dicom_xray().file());
  write_file(folder / "1.2.3.9.1", test::dicom_xray().file());
  write_file(folder / "IM0001", test::dicom_xray().data_set(test::Syntax::implicit_little));
  write_file(folder / "README", "No X-ray: some words about the ones beside it.");
  const auto named = read_radiograph(folder / "xray.dcm");
  for (const char* name : {"1.2.3.9.1", "IM0001"}) {
    ASSERT_TRUE(is_radiograph_file(folder / name)) << name;
    EXPECT_TRUE(at::equal(read_radiograph(folder / name).pixels, named.pixels)) << name;
  }
  EXPECT_FALSE(is_radiograph_file(folder / "README"));
}

TEST(ReadRadiograph, ADentalFilmIsDoubtedAndACtSliceRefused) {
  X2CTPA_NEEDS_REAL_DATA("not_chest");
  EXPECT_FALSE(
      read_radiograph(real_data("not_chest/CR_dental_panoramic_ModalityLUT_MONO1_jpegll.dcm"))
          .warnings.empty());
  EXPECT_THROW(read_radiograph(real_data("dicom_cases/transfer_syntax/CTImage.dcm")), Error);
}

}  // namespace
}  // namespace x2ctpa
