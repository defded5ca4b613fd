#include "x2ctpa/imaging/phantom/phantom.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

namespace x2ctpa {
namespace {

PhantomOptions small_options() {
  PhantomOptions options;
  options.ct_size = 64;
  options.slices = 40;
  options.cxr_size = 64;
  options.cxr_voxel_mm = 5;
  return options;
}

// The first patient with this label.
Phantom patient_with(bool pe, const PhantomOptions& options) {
  int64_t index = 0;
  while (phantom_has_pe(options, 3, index) != pe) ++index;
  return make_phantom(options, 3, index);
}

bool same(const Phantom& a, const Phantom& b) {
  return at::equal(a.ct.hu, b.ct.hu) && at::equal(a.cxr, b.cxr) &&
         at::equal(a.embolus_mask, b.embolus_mask) && a.ct.origin_mm == b.ct.origin_mm &&
         a.cxr_centre_mm == b.cxr_centre_mm && a.truth.embolus_ml == b.truth.embolus_ml;
}

TEST(Phantom, SameSeedGivesTheSamePatientWhateverTheThreads) {
  const auto options = small_options();
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Phantom one = make_phantom(options, 7, 2);
  at::set_num_threads(2);
  const Phantom two = make_phantom(options, 7, 2);
  at::set_num_threads(before);
  EXPECT_TRUE(same(one, two));
}

TEST(Phantom, AnotherSeedOrIndexGivesAnotherPatient) {
  const auto options = small_options();
  const Phantom patient = make_phantom(options, 7, 2);
  EXPECT_FALSE(same(patient, make_phantom(options, 8, 2)));
  EXPECT_FALSE(same(patient, make_phantom(options, 7, 3)));
}

TEST(Phantom, PositivesHaveClotOnlyInsideArteriesAndNegativesNone) {
  const auto options = small_options();
  const Phantom positive = patient_with(true, options);
  EXPECT_GT(positive.embolus_mask.sum().item<int64_t>(), 10);
  EXPECT_GT(positive.truth.embolus_ml, 2);
  EXPECT_EQ((positive.embolus_mask * (1 - positive.artery_mask)).sum().item<int64_t>(), 0);
  const Phantom negative = patient_with(false, options);
  EXPECT_EQ(negative.embolus_mask.sum().item<int64_t>(), 0);
  EXPECT_EQ(negative.truth.embolus_ml, 0);
}

TEST(Phantom, ClotIsDarkAgainstContrast) {
  auto options = small_options();
  options.noise_hu = 0;
  const Phantom patient = patient_with(true, options);
  const auto clot = patient.ct.hu.masked_select(patient.embolus_mask == 1);
  const auto open =
      patient.ct.hu.masked_select((patient.artery_mask == 1) & (patient.embolus_mask == 0));
  EXPECT_LT(clot.median().item<double>() + 60, open.median().item<double>());
}

TEST(Phantom, TissuesLieInPublishedRanges) {
  auto options = small_options();
  options.noise_hu = 0;
  const Phantom patient = patient_with(false, options);
  const auto lung = patient.ct.hu.masked_select(patient.lung_mask == 1);
  EXPECT_GT(lung.median().item<double>(), -900);
  EXPECT_LT(lung.median().item<double>(), -700);
  EXPECT_GE(patient.truth.main_pa_hu, 250);
  EXPECT_LE(patient.truth.main_pa_hu, 450);
  EXPECT_GE(patient.truth.aorta_hu, 150);
  EXPECT_LE(patient.truth.aorta_hu, 350);
  const double litres = double(lung.numel()) * patient.ct.spacing_mm[0] * patient.ct.spacing_mm[1] *
                        patient.ct.spacing_mm[2] / 1e6;
  EXPECT_GT(litres, 1.5);
  EXPECT_LT(litres, 8);
}

TEST(Phantom, LungsLieWhollyInsideTheScan) {
  const auto options = small_options();
  for (int64_t index = 0; index < 6; ++index) {
    const auto mask = make_phantom(options, 11, index).lung_mask;
    EXPECT_EQ(mask[0].sum().item<int64_t>(), 0) << index;
    EXPECT_EQ(mask[-1].sum().item<int64_t>(), 0) << index;
  }
}

TEST(Phantom, TheDemosScanHoldsTheLowestLungs) {
  PhantomOptions options;
  options.ct_size = 48;
  options.cxr_size = 32;
  options.cxr_voxel_mm = 10;
  for (const int64_t index : {4, 10, 12, 19, 26, 59}) {
    const auto mask = make_phantom(options, 0, index).lung_mask;
    EXPECT_EQ(mask[0].sum().item<int64_t>(), 0) << index;
    EXPECT_EQ(mask[-1].sum().item<int64_t>(), 0) << index;
  }
}

TEST(Phantom, EveryBlockOfTenHoldsItsShareOfPositives) {
  PhantomOptions options;
  for (const double fraction : {0.0, 0.4, 1.0}) {
    options.positive_fraction = fraction;
    for (int64_t block = 0; block < 5; ++block) {
      int positives = 0;
      for (int64_t i = 0; i < 10; ++i) positives += phantom_has_pe(options, 1, block * 10 + i);
      EXPECT_EQ(positives, std::lround(10 * fraction));
    }
  }
}

TEST(Phantom, XrayHangsHeadUpWithItsPartsInTheirPlaces) {
  auto options = small_options();
  options.photons = 0;
  const auto picture = patient_with(false, options).cxr;
  ASSERT_EQ(picture.sizes(), (at::IntArrayRef{64, 64}));
  EXPECT_GE(picture.min().item<double>(), 0);
  EXPECT_LE(picture.max().item<double>(), 1);
  const double spine = picture.slice(0, 28, 36).slice(1, 29, 35).mean().item<double>();
  const double lung = picture.slice(0, 22, 34).slice(1, 17, 22).mean().item<double>();
  const double belly = picture.slice(0, 56, 62).slice(1, 20, 44).mean().item<double>();
  EXPECT_GT(spine, lung + 0.2);
  EXPECT_GT(belly, lung + 0.2);
  // The heart lies to the patient's left, the right of the picture.
  const auto low = picture.slice(0, 34, 42);
  EXPECT_GT(low.slice(1, 37, 43).mean().item<double>(), low.slice(1, 20, 26).mean().item<double>());
}

TEST(Phantom, ObliqueSeriesShowTheSamePatientInPlace) {
  auto straight = small_options(), oblique = straight;
  straight.oblique_fraction = 0;
  straight.noise_hu = oblique.noise_hu = 0;
  oblique.oblique_fraction = 1;
  oblique.max_tilt_degrees = 10;
  const Phantom a = make_phantom(straight, 5, 0), b = make_phantom(oblique, 5, 0);
  EXPECT_LT(b.ct.direction[2][2], 1);
  EXPECT_NEAR(a.truth.main_pa_hu, b.truth.main_pa_hu, 1e-9) << "tilt changed the anatomy";
}

}  // namespace
}  // namespace x2ctpa
