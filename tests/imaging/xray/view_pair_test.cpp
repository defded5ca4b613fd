// The two views of a patient: told by name, header and look, and put in their places.
#include "x2ctpa/imaging/xray/view_pair.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "imaging/xray/chest_view.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/dicom/dicom_write.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/phantom/phantom.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using Codes = std::vector<std::string>;

TEST(ViewNames, AreWordsOfTheFileAndLeaveWhatTwoViewsShare) {
  for (const char* name : {"p1_lateral.png", "p1_LAT.dcm", "p1-ll.png", "LAT_p1.png"})
    EXPECT_EQ(view_in_name(name), CxrView::lateral) << name;
  for (const char* name : {"p1_frontal.png", "p1.PA.png", "ap_p1.jpg"})
    EXPECT_EQ(view_in_name(name), CxrView::frontal) << name;
  for (const char* name : {"p1.png", "plate.png", "collateral7.png", "paper.png"})
    EXPECT_EQ(view_in_name(name), std::nullopt) << name;
  for (const char* name : {"p1_lateral.png", "p1_pa.png", "p1.png", "P1-LAT.png"})
    EXPECT_EQ(name_without_view(name), "p1") << name;
  EXPECT_EQ(name_without_view("lat_p1.png"), name_without_view("PA_p1.png"));
  EXPECT_NE(name_without_view("p1_lat.png"), name_without_view("p2_pa.png"));
}

class TwoViewsOfAPatient : public testing::Test {
 protected:
  static const Phantom& patient() {
    static const Phantom made = [] {
      PhantomOptions options;
      options.lateral = true;
      options.ct_size = 16;
      options.slices = 8;
      options.cxr_size = 96;
      options.cxr_voxel_mm = 5;
      return make_phantom(options, 3, 0);
    }();
    return made;
  }
  fs::path write(const std::string& name, CxrView content, CxrView header,
                 const std::string& id = "A") {
    CxrTags tags;
    tags.patient_id = id;
    tags.view = header;
    tags.uid_seed = 5;
    write_cxr(content == CxrView::frontal ? patient().cxr : patient().cxr_lateral, folder_ / name,
              tags);
    return folder_ / name;
  }
  fs::path frontal(const std::string& name = "f.dcm") {
    return write(name, CxrView::frontal, CxrView::frontal);
  }
  fs::path lateral(const std::string& name = "l.dcm") {
    return write(name, CxrView::lateral, CxrView::lateral);
  }
  // In their places, whatever they were given as.
  static void expect_both(const ViewPair& pair) {
    const auto pictures = pair.pictures(96);
    EXPECT_LT((pictures[0] - patient().cxr).abs().mean().item<double>(), 0.02);
    EXPECT_LT((pictures[1] - patient().cxr_lateral).abs().mean().item<double>(), 0.02);
  }
  static bool missing(const ViewPair& pair, int64_t v) {
    return pair.pictures(96)[v].isnan().all().item<bool>();
  }

  test::TemporaryFolder folder_;
  CxrOptions options_{.trim = false};
};

TEST_F(TwoViewsOfAPatient, InTheirPlacesRaiseNoDoubt) {
  const auto pair = load_view_pair({frontal(), lateral()}, 96, options_);
  EXPECT_EQ(pair.codes, Codes{});
  expect_both(pair);
}

TEST_F(TwoViewsOfAPatient, GivenAsEachOtherAreExchangedByHeader) {
  const auto pair = load_view_pair({lateral(), frontal()}, 96, options_);
  EXPECT_EQ(pair.codes, Codes{"views-exchanged"});
  EXPECT_EQ(pair.files[0].filename(), "f.dcm");
  expect_both(pair);
}

TEST_F(TwoViewsOfAPatient, ALateralOneInTheFrontalPlaceGoesToItsOwn) {
  const auto pair = load_view_pair({lateral(), {}}, 96, options_);
  EXPECT_EQ(pair.codes, Codes{"lateral"});
  EXPECT_TRUE(missing(pair, 0));
  EXPECT_FALSE(missing(pair, 1));
}

TEST_F(TwoViewsOfAPatient, AFrontalPictureInTheLateralPlaceIsToldByItsLook) {
  write_png16(patient().cxr, folder_ / "f.png");
  ASSERT_TRUE(chest_likeness(patient().cxr).frontal());
  const auto pair = load_view_pair({fs::path(), folder_ / "f.png"}, 96, options_);
  EXPECT_EQ(pair.codes, Codes{"not-lateral"});
  EXPECT_FALSE(missing(pair, 0));
  EXPECT_TRUE(missing(pair, 1));
}

TEST_F(TwoViewsOfAPatient, OfTwoOfOneViewThatInItsPlaceIsTaken) {
  const auto laterals = load_view_pair({lateral("a.dcm"), lateral("b.dcm")}, 96, options_);
  EXPECT_EQ(laterals.codes, Codes{"two-laterals"});
  EXPECT_EQ(laterals.files[1].filename(), "b.dcm");
  EXPECT_TRUE(missing(laterals, 0));
  const auto frontals = load_view_pair({frontal("a.dcm"), frontal("b.dcm")}, 96, options_);
  EXPECT_EQ(frontals.codes, Codes{"two-frontals"});
  EXPECT_EQ(frontals.files[0].filename(), "a.dcm");
  EXPECT_TRUE(missing(frontals, 1));
}

TEST_F(TwoViewsOfAPatient, OfAnotherPatientTheLateralOneIsLeftOut) {
  const auto other = write("o.dcm", CxrView::lateral, CxrView::lateral, "B");
  const auto pair = load_view_pair({frontal(), other}, 96, options_);
  EXPECT_EQ(pair.codes, Codes{"two-patients"});
  EXPECT_TRUE(missing(pair, 1));
}

TEST_F(TwoViewsOfAPatient, OneThatCannotBeReadDoesNotCostTheOther) {
  write_file(folder_ / "broken.png", "no picture");
  const auto pair = load_view_pair({frontal(), folder_ / "broken.png"}, 96, options_);
  EXPECT_EQ(pair.codes, Codes{"view-unreadable"});
  EXPECT_FALSE(missing(pair, 0));
  EXPECT_TRUE(missing(pair, 1));
  EXPECT_THROW(load_view_pair({fs::path(), folder_ / "broken.png"}, 96, options_), Error);
}

TEST_F(TwoViewsOfAPatient, DoubtsAreRefusedWhereThatIsAskedFor) {
  options_.refuse_not_chest = true;
  EXPECT_EQ(load_view_pair({frontal(), lateral()}, 96, options_).codes, Codes{});
  try {
    load_view_pair({lateral("a.dcm"), lateral("b.dcm")}, 96, options_);
    FAIL() << "two laterals were taken";
  } catch (const RefusedXray& e) {
    EXPECT_EQ(e.reason_code(), "cxr-views");
  }
}

TEST_F(TwoViewsOfAPatient, ALateralOneThatFacesRightIsToldByHeaderAndByLook) {
  const auto& film = patient().cxr_lateral;
  EXPECT_FALSE(looks_right(film));
  EXPECT_TRUE(looks_right(film.flip({1}).contiguous()));
  write_png16(film.flip({1}).contiguous(), folder_ / "l.png");
  const auto looks = load_view_pair({fs::path(), folder_ / "l.png"}, 96, options_);
  EXPECT_EQ(looks.codes, Codes{"looks-right"});
  // The header's letter for the direction of rows: the writer says P, to the back.
  CxrTags tags;
  tags.view = CxrView::lateral;
  write_cxr(film.flip({1}).contiguous(), folder_ / "l.dcm", tags);
  std::string bytes = read_file(folder_ / "l.dcm");
  const auto place = bytes.find("P\\F");
  ASSERT_NE(place, std::string::npos);
  bytes[place] = 'A';
  write_file(folder_ / "l.dcm", bytes);
  const auto header = load_view_pair({fs::path(), folder_ / "l.dcm"}, 96, options_);
  EXPECT_EQ(header.codes, Codes{"faces-right"});
  EXPECT_LT((header.xrays[1].picture - film).abs().mean().item<double>(), 0.02);
}

TEST(PhantomWithALateralXray, HasTheSameFrontalOneAndCt) {
  PhantomOptions options;
  options.ct_size = 16;
  options.slices = 8;
  options.cxr_size = 32;
  options.cxr_voxel_mm = 6;
  const auto one = make_phantom(options, 4, 1);
  EXPECT_FALSE(one.cxr_lateral.defined());
  options.lateral = true;
  const auto two = make_phantom(options, 4, 1);
  EXPECT_TRUE(at::equal(one.cxr, two.cxr));
  EXPECT_TRUE(at::equal(one.ct.hu, two.ct.hu));
  EXPECT_EQ(two.cxr_lateral.sizes(), two.cxr.sizes());
  EXPECT_GT((two.cxr_lateral - two.cxr).abs().mean().item<double>(), 0.05);
}

}  // namespace
}  // namespace x2ctpa
