// The DICOM series of a generated volume, and its preview picture.
#include "x2ctpa/imaging/dicom/dicom_export.h"

#include <ATen/ATen.h>
#include <gdcmReader.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <utility>

#include "support/temporary_folder.h"
#include "support/test_volumes.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/preview.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

const SyntheticSeries exported_series{
    .subject_id = "P0001", .derivation = "made by a test", .version = "1", .unique = "a"};

std::string word(const gdcm::DataSet& set, uint16_t group, uint16_t element) {
  if (!set.FindDataElement(gdcm::Tag(group, element))) return "(absent)";
  const gdcm::ByteValue* value = set.GetDataElement(gdcm::Tag(group, element)).GetByteValue();
  if (value == nullptr) return "";
  std::string text(value->GetPointer(), value->GetLength());
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.pop_back();
  return text;
}

gdcm::DataSet header(const fs::path& file) {
  gdcm::Reader reader;
  reader.SetFileName(file.c_str());
  EXPECT_TRUE(reader.Read()) << file;
  return reader.GetFile().GetDataSet();
}

TEST(DicomExport, AnObliqueVolumeComesBackVoxelForVoxelInItsPlace) {
  const test::TemporaryFolder folder;
  Volume volume = test::linear_field(test::rotation(7));
  volume.hu = volume.hu.round().clamp(-1024, 3071);
  write_synthetic_series(volume, folder / "series", exported_series);
  const Volume back = oriented_to_lps(read_volume(folder / "series")),
               own = oriented_to_lps(volume);
  ASSERT_EQ(back.size_dhw(), own.size_dhw());
  EXPECT_TRUE(at::equal(back.hu, own.hu));
  const auto [d, h, w] = own.size_dhw();
  for (const Vec3& corner : {Vec3{0, 0, 0}, Vec3{double(w - 1), double(h - 1), double(d - 1)}}) {
    const Vec3 a = back.point(corner), b = own.point(corner);
    for (int axis = 0; axis < 3; ++axis) EXPECT_NEAR(a[axis], b[axis], 1e-4);
  }
}

TEST(DicomExport, SamplesOfOneXrayAreSeriesOfOneStudyInOneFrame) {
  const test::TemporaryFolder folder;
  const Volume volume = test::linear_field(test::rotation(0));
  SyntheticSeries sample = exported_series;
  sample.study = "the X-ray";
  std::set<std::string> studies, frames, series, numbers, descriptions;
  for (const char* which : {"sample 0, seed 1", "sample 1, seed 1"}) {
    sample.which = sample.unique = which;
    sample.number = int64_t(numbers.size()) + 1;
    write_synthetic_series(volume, folder / which, sample);
    const auto set = header(folder / which / "0001.dcm");
    studies.insert(word(set, 0x0020, 0x000d));
    frames.insert(word(set, 0x0020, 0x0052));
    series.insert(word(set, 0x0020, 0x000e));
    numbers.insert(word(set, 0x0020, 0x0011));
    descriptions.insert(word(set, 0x0008, 0x103e));
  }
  EXPECT_EQ(studies.size(), 1u);
  EXPECT_EQ(frames.size(), 1u);
  EXPECT_EQ(series.size(), 2u);
  EXPECT_EQ(numbers, (std::set<std::string>{"1", "2"}));
  EXPECT_TRUE(descriptions.count("SYNTHETIC CTPA, sample 0, seed 1, research use only"));
  // Another grid is another frame of reference of the same study.
  Volume moved = volume;
  moved.origin_mm[0] += 10;
  write_synthetic_series(moved, folder / "moved", sample);
  const auto set = header(folder / "moved" / "0001.dcm");
  EXPECT_TRUE(studies.count(word(set, 0x0020, 0x000d)));
  EXPECT_FALSE(frames.count(word(set, 0x0020, 0x0052)));
}

TEST(DicomExport, APatientsIdCannotPartValuesOrNames) {
  const test::TemporaryFolder folder;
  SyntheticSeries series = exported_series;
  series.subject_id = "A\\B^ä";
  write_synthetic_series(test::linear_field(test::rotation(0)), folder / "s", series);
  EXPECT_EQ(word(header(folder / "s" / "0001.dcm"), 0x0010, 0x0020), "A_B_ä");
}

TEST(DicomExport, LongIdsOfPatientsStayDistinctWhereTheyAreCut) {
  const test::TemporaryFolder folder;
  SyntheticSeries series = exported_series;
  std::set<std::string> ids;
  for (const char* end : {"1", "2"}) {
    series.subject_id = std::string(60, 'x') + end;
    write_synthetic_series(test::linear_field(test::rotation(0)), folder / end, series);
    ids.insert(word(header(folder / end / "0001.dcm"), 0x0010, 0x0020));
  }
  EXPECT_EQ(ids.size(), 2u);
  EXPECT_EQ(ids.begin()->size(), 50u);
}

TEST(DicomExport, EveryFileSaysThatItIsSyntheticAndDerivedAndNamesNoPatient) {
  const test::TemporaryFolder folder;
  write_synthetic_series(test::linear_field(test::rotation(0)), folder / "series", exported_series);
  std::set<std::string> instances, series;
  for (const auto& entry : fs::directory_iterator(folder / "series")) {
    const auto set = header(entry.path());
    EXPECT_EQ(word(set, 0x0008, 0x001c), "YES");
    EXPECT_EQ(word(set, 0x0008, 0x0008), "DERIVED\\SECONDARY\\AXIAL");
    EXPECT_EQ(word(set, 0x0008, 0x103e).rfind("SYNTHETIC", 0), 0u);
    EXPECT_EQ(word(set, 0x0010, 0x0010), "SYNTHETIC^P0001");
    EXPECT_EQ(word(set, 0x0010, 0x0030), "");
    EXPECT_NE(word(set, 0x0008, 0x2111).find("made by a test"), std::string::npos);
    EXPECT_EQ(word(set, 0x0028, 0x1054), "HU");
    instances.insert(word(set, 0x0008, 0x0018));
    series.insert(word(set, 0x0020, 0x000e));
  }
  EXPECT_EQ(instances.size(), 7u);
  EXPECT_EQ(series.size(), 1u);
}

TEST(DicomExport, AnotherVolumeHasOtherUidsAndTheSameOneTheSameBytes) {
  const test::TemporaryFolder folder;
  const Volume volume = test::linear_field(test::rotation(0));
  write_synthetic_series(volume, folder / "a", exported_series);
  write_synthetic_series(volume, folder / "again", exported_series);
  SyntheticSeries other = exported_series;
  other.unique = "b";
  write_synthetic_series(volume, folder / "b", other);
  EXPECT_EQ(sha256_of_file(folder / "a/0001.dcm"), sha256_of_file(folder / "again/0001.dcm"));
  for (const auto& [group, element] : {std::pair(0x0008, 0x0018), std::pair(0x0020, 0x000d),
                                       std::pair(0x0020, 0x000e), std::pair(0x0020, 0x0052)}) {
    EXPECT_NE(word(header(folder / "a/0001.dcm"), group, element),
              word(header(folder / "b/0001.dcm"), group, element));
  }
}

TEST(DicomExport, AFormerSeriesIsReplacedAndAFailedOneLeavesNothing) {
  const test::TemporaryFolder folder;
  write_synthetic_series(test::linear_field(test::rotation(0), {9, 4, 4}), folder / "series",
                         exported_series);
  write_synthetic_series(test::linear_field(test::rotation(0), {3, 4, 4}), folder / "series",
                         exported_series);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "series"), {}), 3);
  EXPECT_THROW(write_synthetic_series(test::linear_field(test::rotation(0)), "/dev/null/series",
                                      exported_series),
               Error);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

TEST(Preview, ShowsTheHeadUpThePatientsRightAtTheLeftAndSquareMillimetres) {
  // One bright voxel: at the top of the head, at the patient's left, in front.
  Volume volume{at::full({20, 10, 10}, -200.0)};
  volume.spacing_mm = {2, 2, 1};
  volume.hu[18][1][8] = 500;
  const auto picture = preview_picture(volume, -200, 500, at::Tensor(), false);
  ASSERT_EQ(picture.dim(), 2);
  const auto brightest = [&](int64_t row,
                             int64_t column) {  // of one tile, from 0 to 1 down and across
    const auto tile = picture.narrow(0, row * 164, 160).narrow(1, column * 164, 160);
    const int64_t at = tile.argmax().item<int64_t>();
    return std::pair(double(at / 160) / 160, double(at % 160) / 160);
  };
  const auto [coronal_down, coronal_across] = brightest(0, 1);
  EXPECT_LT(coronal_down, 0.2);
  EXPECT_GT(coronal_across, 0.75);
  const auto [sagittal_down, sagittal_across] = brightest(0, 2);
  EXPECT_LT(sagittal_down, 0.2);
  EXPECT_LT(sagittal_across, 0.25);
  const auto [axial_down, axial_across] = brightest(0, 3);
  EXPECT_LT(axial_down, 0.25);
  EXPECT_GT(axial_across, 0.75);
}

TEST(Preview, SaysThatAGeneratedVolumeIsSynthetic) {
  const Volume volume{at::full({6, 6, 6}, -500.0)};
  const auto plain = preview_picture(volume, -200, 500, at::Tensor(), false);
  const auto marked = preview_picture(volume, -200, 500, at::Tensor(), true);
  EXPECT_EQ(plain.max().item<float>(), 0);
  const auto head = marked.narrow(0, 0, marked.size(0) - plain.size(0));
  EXPECT_GT((head > 0.5).sum().item<int64_t>(), 1000);  // the letters' dots
}

}  // namespace
}  // namespace x2ctpa
