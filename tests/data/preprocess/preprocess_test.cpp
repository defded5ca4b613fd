#include <fmt/format.h>

#include "x2ctpa/data/preprocess/preprocess.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "data/preprocess/small_preprocess.h"
#include "data/synthetic_study.h"
#include "support/dicom_bytes.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume/lungs.h"

namespace x2ctpa {
namespace {

using test::error_of;
using test::small_preprocess_options;
using test::TemporaryFolder;

// Rotations about x by 0.3 and about z by 0.5 rad.
Mat3 oblique() {
  const double a = 0.3, b = 0.5;
  return {{{std::cos(b), -std::sin(b) * std::cos(a), std::sin(b) * std::sin(a)},
           {std::sin(b), std::cos(b) * std::cos(a), -std::cos(b) * std::sin(a)},
           {0, std::sin(a), std::cos(a)}}};
}

// A volume whose HU are `slope` times the LPS coordinate `axis` in mm: it tells where it is.
Volume ramp(size_t axis, double slope) {
  Volume volume{torch::zeros({50, 70, 60}), {-95, -60, -150}, {2.1, 1.7, 3.3}, oblique()};
  auto voxels = volume.hu.accessor<float, 3>();
  for (int64_t k = 0; k < 50; ++k) {
    for (int64_t j = 0; j < 70; ++j) {
      for (int64_t i = 0; i < 60; ++i) {
        voxels[k][j][i] =
            float(slope * volume.point({double(i), double(j), double(k)})[axis] + 15000);
      }
    }
  }
  return volume;
}

// From a NIfTI or DICOM source to a dataset volume: the largest error of any voxel's place in mm.
void expect_world_points_survive(bool from_dicom) {
  for (size_t axis = 0; axis < 3; ++axis) {
    TemporaryFolder folder;
    constexpr double slope = 150;  // HU per mm: rounding to whole HU is 0.003 mm
    const fs::path source = folder / (from_dicom ? "dicom" : "ramp.nii");
    if (from_dicom)
      test::CtMaker{ramp(axis, slope)}.write(source);
    else
      write_nifti(ramp(axis, slope), source, "test", false);
    PreprocessOptions options = small_preprocess_options();
    options.box = BoxRule::none;
    options.field_of_view_mm = {40, 36, 30};
    preprocess(read_inputs({source}), options, 0, folder / "set");
    const Dataset set = Dataset::open(folder / "set");
    const Volume volume = set.load_volume(set.cases().at(0));
    EXPECT_NEAR(volume.spacing_mm[0], 40.0 / 24, 1e-5);
    EXPECT_NEAR(volume.spacing_mm[1], 36.0 / 20, 1e-5);
    EXPECT_NEAR(volume.spacing_mm[2], 30.0 / 12, 1e-5);
    const auto voxels = volume.hu.accessor<float, 3>();
    double worst_mm = 0;
    for (int64_t k = 0; k < 12; ++k) {
      for (int64_t j = 0; j < 20; ++j) {
        for (int64_t i = 0; i < 24; ++i) {
          const double point = volume.point({double(i), double(j), double(k)})[axis];
          worst_mm = std::max(worst_mm, std::abs((voxels[k][j][i] - 15000) / slope - point));
        }
      }
    }
    EXPECT_LT(worst_mm, 0.01) << "axis " << axis;
  }
}

TEST(Preprocess, WorldPointsOfAnObliqueAnisotropicVolumeSurviveWithinAHundredthOfAMillimetre) {
  expect_world_points_survive(false);
}

TEST(Preprocess, WorldPointsSurviveFromDicomToTheDatasetsNiftiWithinAHundredthOfAMillimetre) {
  expect_world_points_survive(true);
}

// LPS points of every 50th voxel with `label`.
std::vector<Vec3> points_of(const Volume& labels, int label) {
  const auto where = labels.hu.eq(label).nonzero();
  std::vector<Vec3> points;
  for (int64_t i = 0; i < where.size(0); i += 50) {
    const auto at = where[i];
    points.push_back(
        labels.point({at[2].item<double>(), at[1].item<double>(), at[0].item<double>()}));
  }
  return points;
}

// Mean HU of `volume` at `points`, and their mean column.
std::array<double, 2> mean_at(const Volume& volume, const std::vector<Vec3>& points) {
  const auto voxels = volume.hu.accessor<float, 3>();
  double hu = 0, column = 0;
  for (const Vec3& point : points) {
    const Vec3 index = volume.index(point);
    std::array<int64_t, 3> at;
    for (size_t a = 0; a < 3; ++a)
      at[a] = std::clamp<int64_t>(std::llround(index[a]), 0, volume.hu.size(2 - int64_t(a)) - 1);
    hu += voxels[at[2]][at[1]][at[0]] / double(points.size());
    column += index[0] / double(points.size());
  }
  return {hu, column};
}

TEST(Preprocess, LeftStaysLeftOnARealScan) {
  X2CTPA_NEEDS_REAL_DATA("ct_dicom/LIDC-IDRI-0001_jpegls");
  TemporaryFolder folder;
  PreprocessOptions options = small_preprocess_options();
  options.grid = {64, 64, 64};
  preprocess(read_inputs({test::real_data("ct_dicom/LIDC-IDRI-0001_jpegls")}), options, 0,
             folder / "set");
  const Dataset set = Dataset::open(folder / "set");
  const Volume volume = set.load_volume(set.cases().at(0));
  const Volume labels =
      read_volume(test::real_data("ct_volume/LIDC-IDRI-0001_2mm_labels118.nii.gz"));
  const auto heart = points_of(labels, 51), left_lung = points_of(labels, 10),
             right_lung = points_of(labels, 12);
  std::vector<Vec3> mirrored = heart;
  for (Vec3& point : mirrored) point[0] = -point[0];  // the spine of this patient is at x = 0
  const auto [heart_hu, heart_column] = mean_at(volume, heart);
  EXPECT_GT(heart_hu, 0);
  EXPECT_LT(mean_at(volume, mirrored)[0], heart_hu - 200);
  EXPECT_LT(mean_at(volume, left_lung)[0], -700);
  EXPECT_LT(mean_at(volume, right_lung)[0], -700);
  // The patient's left is the higher columns.
  EXPECT_GT(mean_at(volume, left_lung)[1], mean_at(volume, right_lung)[1] + 20);
  EXPECT_GT(heart_column, 34);
}

TEST(Preprocess, TheGridIsLaidAroundTheLungs) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "ct.nii", "test");
  PreprocessOptions options = small_preprocess_options();
  options.margin_mm = 8;
  const auto result = preprocess(read_inputs({folder / "ct.nii"}), options, 0, folder / "set");
  EXPECT_EQ(result.cases, 1);
  const Dataset set = Dataset::open(folder / "set");
  const Volume volume = set.load_volume(set.cases()[0]);
  // Lungs reach 120 mm to both sides, 70 mm forward and back, 105 mm up and down; 8 mm margin.
  const Vec3 expected = {256, 156, 226};
  for (size_t axis = 0; axis < 3; ++axis) {
    const double extent = volume.spacing_mm[axis] * double(volume.size_dhw()[2 - axis]);
    EXPECT_NEAR(extent, expected[axis], 10) << axis;
    EXPECT_NEAR(volume.centre_mm()[axis], 0, 5) << axis;
    EXPECT_NEAR(set.info().typical_spacing_mm[axis], volume.spacing_mm[axis], 1e-4);
  }
}

TEST(Preprocess, PairsAndSinglesBecomeCasesWithStatisticsOfTheTrainingXrays) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "ct.nii", "test");
  write_png16(torch::full({16, 16}, 0.25f), folder / "a.png");
  write_png16(torch::full({16, 16}, 0.75f), folder / "b.png");
  write_png16(torch::full({16, 16}, 1.f), folder / "c.png");
  write_file(folder / "m.csv",
             "id,patient_id,ct,cxr,pe,split\npair,p1,ct.nii,a.png,1,train\nfilm,p2,,b.png,0,train\n"
             "scan,p3,ct.nii,,,val\nheld,p4,,c.png,0,test\n");
  const auto result =
      preprocess(read_inputs({folder / "m.csv"}), small_preprocess_options(), 0, folder / "set");
  EXPECT_EQ(result.cases, 4);
  EXPECT_NEAR(result.info.cxr_mean, 0.5, 1e-3);
  EXPECT_NEAR(result.info.cxr_std, 0.25, 1e-3);
  const Dataset set = Dataset::open(folder / "set");
  EXPECT_EQ(set.split("train").size(), 2u);
  EXPECT_TRUE(set.split("train")[1].ct.empty());
  EXPECT_TRUE(set.split("val")[0].cxr.empty());
  EXPECT_EQ(set.load_cxr(set.split("test")[0]).sizes(), (std::vector<int64_t>{1, 16, 16}));
}

TEST(Preprocess, ABadStudyIsListedAndTheOthersGoOn) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "good.nii", "test");
  write_nifti({torch::zeros({20, 20, 20}), {}, {5, 5, 5}}, folder / "water.nii", "test");
  write_file(folder / "broken.nii", "not a volume");
  write_file(folder / "m.csv",
             "id,ct,cxr\ngood,good.nii,\nwater,water.nii,\nbroken,broken.nii,\n"
             "gone,gone.nii,\nnone,,\nfilm,good.nii,broken.nii\n");
  const auto result =
      preprocess(read_inputs({folder / "m.csv"}), small_preprocess_options(), 0, folder / "set");
  EXPECT_EQ(result.cases, 1);
  EXPECT_EQ(result.rejected, 5);
  const auto rejected = CsvTable::read(folder / "set/rejected.csv");
  ASSERT_EQ(rejected.size(), 5u);
  const std::vector<std::string> codes = {"no-lungs", "ct-unreadable", "missing-file",
                                          "empty-study", "cxr-unreadable"};
  for (size_t i = 0; i < codes.size(); ++i) {
    EXPECT_EQ(rejected.at(i, "reason_code"), codes[i]) << rejected.at(i, "reason");
    EXPECT_FALSE(rejected.at(i, "reason").empty());
  }
  EXPECT_FALSE(fs::exists(folder / "set/ct/broken.nii"));
}

TEST(Preprocess, NothingUsableIsNoData) {
  TemporaryFolder folder;
  write_file(folder / "broken.nii", "not a volume");
  try {
    preprocess(read_inputs({folder / "broken.nii"}), small_preprocess_options(), 0, folder / "set");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::no_data);
    EXPECT_CONTAINS(e.what(), "rejected.csv");
  }
  EXPECT_FALSE(fs::exists(folder / "set/dataset.json"));
}

TEST(Preprocess, ASecondCallKeepsWhatIsDoneAndGivesTheSameSet) {
  TemporaryFolder folder;
  for (const char* name : {"a", "b", "c"})
    write_nifti(test::thorax(name[0]), folder / "in" / (name + std::string(".nii")), "test");
  const auto studies = read_inputs({folder / "in"});
  const auto whole = preprocess(studies, small_preprocess_options(), 7, folder / "undisturbed");
  // A call that was stopped leaves some records, perhaps volumes without one, and no index.
  preprocess({studies[0]}, small_preprocess_options(), 7, folder / "set");
  fs::remove(folder / "set/dataset.json");
  fs::remove(folder / "set/index.csv");
  const auto stamp = fs::last_write_time(folder / "set" / "ct" / (studies[0].id + ".nii"));
  const auto resumed = preprocess(studies, small_preprocess_options(), 7, folder / "set");
  EXPECT_EQ(resumed.kept, 1);
  EXPECT_EQ(fs::last_write_time(folder / "set" / "ct" / (studies[0].id + ".nii")), stamp);
  EXPECT_EQ(resumed.info.hash, whole.info.hash);
  for (const Study& study : studies) {
    EXPECT_EQ(sha256_of_file(folder / "set" / "ct" / (study.id + ".nii")),
              sha256_of_file(folder / "undisturbed" / "ct" / (study.id + ".nii")));
  }
}

TEST(Preprocess, OtherOptionsAreRefusedWithTheDifferenceUnlessForced) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "ct.nii", "test");
  const auto studies = read_inputs({folder / "ct.nii"});
  PreprocessOptions options = small_preprocess_options();
  preprocess(studies, options, 0, folder / "set");
  options.workers = 1;
  EXPECT_EQ(preprocess(studies, options, 0, folder / "set").kept, 1);
  options.margin_mm = 5;
  const std::string message = error_of([&] { preprocess(studies, options, 0, folder / "set"); });
  EXPECT_CONTAINS(message, "preprocess.margin_mm: 0 -> 5");
  EXPECT_CONTAINS(message, "--force");
  EXPECT_EQ(preprocess(studies, options, 0, folder / "set", {.force = true}).kept, 0);
  EXPECT_EQ(preprocess(studies, options, 0, folder / "set").kept, 1);
}

TEST(Preprocess, ACaseWhoseSourceChangedIsMadeAnew) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "a.nii", "test");
  write_nifti(test::thorax(1), folder / "b.nii", "test");
  auto studies = read_inputs({folder / "a.nii"});
  preprocess(studies, small_preprocess_options(), 0, folder / "set");
  studies[0].ct = folder / "b.nii";
  EXPECT_EQ(preprocess(studies, small_preprocess_options(), 0, folder / "set").kept, 0);
}

// Voxels of 8 mm, each of them eight of the thorax's.
PreprocessOptions halved_thorax_options() {
  PreprocessOptions options = small_preprocess_options();
  options.box = BoxRule::none;
  options.grid = {32, 32, 44};
  return options;
}

TEST(Preprocess, MasksBecomeTheShareOfEachVoxel) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "a.nii", "test");
  Volume upper = test::thorax(), slice = upper;
  upper.hu = torch::zeros_like(upper.hu);
  slice.hu = upper.hu.clone();
  upper.hu.slice(0, 31).fill_(3);  // from the second half of voxel 15 on
  slice.hu[20].fill_(1);
  write_nifti(upper, folder / "upper.nii", "test");
  write_nifti(slice, folder / "slice.nii", "test");
  auto studies = read_inputs({folder / "a.nii"});
  studies[0].masks = {{"lung", folder / "upper.nii"}, {"embolus", folder / "slice.nii"}};
  preprocess(studies, halved_thorax_options(), 0, folder / "set");
  const fs::path set = folder / "set";
  const Volume ct = read_volume(set / "ct/a.nii"), share = read_volume(set / "masks/a_lung.nii.gz"),
               thin = read_volume(set / "masks/a_embolus.nii.gz");
  EXPECT_EQ(share.hu.sizes(), ct.hu.sizes());
  EXPECT_EQ(share.hu.slice(0, 0, 13).max().item<float>(), 0);
  EXPECT_EQ(share.hu.slice(0, 18).min().item<float>(), 255);
  EXPECT_NEAR(share.hu[15].mean().item<double>(), 127.5, 1);
  EXPECT_NEAR(thin.hu.sum(torch::kDouble).item<double>() / 255, 64 * 88 / 8.0, 0.02 * 64 * 88 / 8)
      << "a mask thinner than a voxel keeps its volume";

  EXPECT_EQ(preprocess(studies, halved_thorax_options(), 0, set).kept, 1);
  fs::remove(set / "masks/a_lung.nii.gz");
  EXPECT_EQ(preprocess(studies, halved_thorax_options(), 0, set).kept, 0);
  studies[0].masks.erase("lung");
  EXPECT_EQ(preprocess(studies, halved_thorax_options(), 0, set).kept, 0);
}

TEST(Preprocess, TheLungsThatItFoundAreKeptForGridsTooCoarseToFindThem) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "a.nii", "test");
  PreprocessOptions options = small_preprocess_options();
  options.grid = {8, 8, 8};
  const fs::path set = folder / "set";
  preprocess(read_inputs({folder / "a.nii"}), options, 0, set);
  const Volume ct = read_volume(set / "ct/a.nii");
  EXPECT_THROW(segment_lungs(ct), Error);
  const Volume share = read_volume(set / "masks/a_lung.nii.gz");
  EXPECT_EQ(share.hu.sizes(), ct.hu.sizes());
  const double litres = share.hu.sum(torch::kDouble).item<double>() / 255 * 1e-6 *
                        ct.spacing_mm[0] * ct.spacing_mm[1] * ct.spacing_mm[2];
  EXPECT_NEAR(litres, segment_lungs(test::thorax()).litres, 0.02 * litres);
  EXPECT_LT(ct.hu.masked_select(share.hu > 250).max().item<float>(), -500);

  fs::remove(set / "masks/a_lung.nii.gz");
  EXPECT_EQ(preprocess(read_inputs({folder / "a.nii"}), options, 0, set).kept, 0);
  options.box = BoxRule::body;
  preprocess(read_inputs({folder / "a.nii"}), options, 0, folder / "body");
  EXPECT_FALSE(fs::exists(folder / "body/masks")) << "no lungs were looked for";
}

TEST(Preprocess, AMaskThatCannotBeWrittenIsNoFaultOfItsStudy) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "a.nii", "test");
  auto studies = read_inputs({folder / "a.nii"});
  studies[0].masks = {{"artery", folder / "a.nii"}};
  fs::create_directories(folder / "set/masks/a_artery.nii.gz/in the way");
  EXPECT_THROW(preprocess(studies, small_preprocess_options(), 0, folder / "set"), Error);
}

TEST(Preprocess, AMaskThatIsNotThereRejectsItsStudy) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "a.nii", "test");
  write_nifti(test::thorax(1), folder / "b.nii", "test");
  auto studies = read_inputs({folder / "a.nii", folder / "b.nii"});
  studies[1].masks = {{"artery", folder / "nowhere.nii"}};
  const auto result = preprocess(studies, small_preprocess_options(), 0, folder / "set");
  EXPECT_EQ(result.cases, 1);
  EXPECT_EQ(CsvTable::read(folder / "set/rejected.csv").at(0, "reason_code"), "missing-file");
}

// A folder of small thoraces: quick to process.
std::vector<Study> thoraces(const TemporaryFolder& folder, int count) {
  for (int i = 0; i < count; ++i)
    write_nifti(test::thorax(i), folder / "in" / fmt::format("c{}.nii", i), "test");
  return read_inputs({folder / "in"});
}

// The files below `folder` with their contents' hashes.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      found[entry.path().lexically_relative(folder).string()] = sha256_of_file(entry.path());
  }
  return found;
}

TEST(Preprocess, AFileCutShortAfterItsRecordWasWrittenIsMadeAnew) {
  TemporaryFolder folder;
  const auto studies = thoraces(folder, 2);
  preprocess(studies, small_preprocess_options(), 0, folder / "set");
  const auto before = contents(folder / "set");
  const fs::path file = folder / "set/ct" / (studies[0].id + ".nii");
  fs::resize_file(file, fs::file_size(file) / 2);
  write_file(folder / "set/records" / (studies[1].id + ".json"), "{\"id\": \"c1\", \"ct_so");
  write_file(folder / "set/ct/.part-1-0-c0.nii", "left by a process that was killed");
  EXPECT_EQ(preprocess(studies, small_preprocess_options(), 0, folder / "set").kept, 0);
  EXPECT_EQ(contents(folder / "set"), before);
}

TEST(Preprocess, SharesOfSeveralProcessesGiveTheSetOfOne) {
  TemporaryFolder folder;
  auto studies = thoraces(folder, 5);
  write_file(folder / "in/broken.nii", "no volume");
  studies = read_inputs({folder / "in"});
  preprocess(studies, small_preprocess_options(), 3, folder / "whole");
  for (const int64_t rank : {2, 0, 1}) {
    EXPECT_FALSE(fs::exists(folder / "shared/dataset.json"));
    const auto result =
        preprocess(studies, small_preprocess_options(), 3, folder / "shared", {.shard = {rank, 3}});
    EXPECT_EQ(result.complete, rank == 1);
  }
  EXPECT_EQ(contents(folder / "shared"), contents(folder / "whole"));
}

TEST(Preprocess, ACallForTheWholeFinishesWhatSharesLeftOpen) {
  TemporaryFolder folder;
  const auto studies = thoraces(folder, 3);
  EXPECT_FALSE(preprocess(studies, small_preprocess_options(), 0, folder / "set", {.shard = {1, 3}})
                   .complete);
  const auto result = preprocess(studies, small_preprocess_options(), 0, folder / "set");
  EXPECT_EQ(result.kept, 1);
  EXPECT_EQ(Dataset::open(folder / "set").cases().size(), 3u);
}

TEST(Preprocess, OtherSplitsAreDealtAnewWithoutMakingCasesAnew) {
  TemporaryFolder folder;
  const auto studies = thoraces(folder, 4);
  PreprocessOptions options = small_preprocess_options();
  preprocess(studies, options, 0, folder / "set");
  options.splits = {0.5, 0, 0.5};
  options.folds = 2;
  EXPECT_CONTAINS(error_of([&] { preprocess(studies, options, 0, folder / "set"); }), "--resplit");
  const auto result = preprocess(studies, options, 0, folder / "set", {.resplit = true});
  EXPECT_EQ(result.kept, 4);
  const Dataset set = Dataset::open(folder / "set");
  EXPECT_EQ(set.split("test").size(), 2u);
  EXPECT_EQ(set.folds(), 2);
  options.margin_mm = 3;
  EXPECT_CONTAINS(
      error_of([&] { preprocess(studies, options, 0, folder / "set", {.resplit = true}); }),
      "margin_mm");
}

TEST(Preprocess, ASplitsFileOfAnotherSetGivesTheSameSplits) {
  TemporaryFolder folder;
  const auto studies = thoraces(folder, 4);
  PreprocessOptions options = small_preprocess_options();
  options.splits = {0.5, 0.25, 0.25};
  preprocess(studies, options, 5, folder / "first");
  options.splits_file = folder / "first/splits.csv";
  options.splits = {1, 0, 0};
  preprocess(studies, options, 9, folder / "second");
  EXPECT_EQ(read_file(folder / "second/splits.csv"), read_file(folder / "first/splits.csv"));
  EXPECT_EQ(read_file(folder / "second/index.csv"), read_file(folder / "first/index.csv"));
  write_file(folder / "short.csv", "id,split\nc0,train\n");
  options.splits_file = folder / "short.csv";
  EXPECT_CONTAINS(error_of([&] { preprocess(studies, options, 9, folder / "third"); }),
                  "no split for 3 of 4 cases");
}

// Values of no unit: an ellipsoid of 3000 with a bright core, in a background of `offset`.
Volume head(double gain, double offset) {
  const auto axis = [](int64_t n) { return torch::arange(n) - double(n - 1) / 2; };
  const auto r = (axis(30).view({-1, 1, 1}) / 12).square() +
                 (axis(40).view({1, -1, 1}) / 15).square() +
                 (axis(36).view({1, 1, -1}) / 13).square();
  const auto values = (r < 1).to(torch::kFloat) * (1000 + 2000 * (1 - r).clamp_min(0));
  return {(values * gain + offset).contiguous(), {0, 0, 0}, {2, 2, 3}};
}

TEST(Preprocess, AnMrVolumeIsScaledByItsPercentilesWhateverTheScannersGain) {
  TemporaryFolder folder;
  write_nifti(head(1, 0), folder / "in/a.nii", "test", false);
  write_nifti(head(0.01, 7), folder / "in/b.nii", "test", false);
  PreprocessOptions options = small_preprocess_options();
  options.modality = Modality::mr;
  options.box = BoxRule::body;
  options.intensity = Intensity::volume_percentiles;
  const auto result = preprocess(read_inputs({folder / "in"}), options, 0, folder / "set");
  EXPECT_EQ(result.info.window, (IntensityWindow{0, 1000}));
  EXPECT_CONTAINS(result.info.unit, "percentile 0.5 to 99.5");
  const Dataset set = Dataset::open(folder / "set");
  EXPECT_EQ(set.info().modality, Modality::mr);
  const auto a = set.load_ct(set.cases()[0]), b = set.load_ct(set.cases()[1]);
  EXPECT_LT((a - b).abs().max().item<float>(), 0.01);
  EXPECT_LT(a.min().item<float>(), -0.99);
  EXPECT_GT(a.max().item<float>(), 0.9);
  // The box is that of the body: 60 x 72 (2 mm) of background surround 52 x 60 mm.
  const Volume volume = set.load_volume(set.cases()[0]);
  EXPECT_NEAR(volume.spacing_mm[0] * 24, 52, 8);
}

TEST(Preprocess, PercentilesOfTheSetBecomeTheWindowInStoredUnits) {
  TemporaryFolder folder;
  write_nifti(head(1, 0), folder / "in/a.nii", "test", false);
  write_nifti(head(0.5, 0), folder / "in/b.nii", "test", false);
  PreprocessOptions options = small_preprocess_options();
  options.modality = Modality::mr;
  options.box = BoxRule::none;
  options.intensity = Intensity::set_percentiles;
  const auto result = preprocess(read_inputs({folder / "in"}), options, 0, folder / "set");
  EXPECT_NEAR(result.info.window.min_hu, 0, 1e-3);
  EXPECT_NEAR(result.info.window.max_hu, 0.75 * 2900, 150);
  options.box = BoxRule::lungs;
  EXPECT_CONTAINS(error_of([&] { preprocess({}, options, 0, folder / "none"); }), "box");
}

TEST(Preprocess, TheCipSeriesAndItsNrrdGiveTheSameDatasetVolume) {
  X2CTPA_NEEDS_REAL_DATA("ct_dicom");
  const fs::path real = test::real_data("");
  TemporaryFolder folder;
  PreprocessOptions options = small_preprocess_options();
  options.grid = {32, 64, 64};
  const auto result = preprocess(
      read_inputs({real / "ct_dicom/CIP_ct-64_79slices", real / "ct_volume/CIP_ct-64.nrrd"}),
      options, 0, folder / "set");
  ASSERT_EQ(result.cases, 2);
  const Dataset set = Dataset::open(folder / "set");
  const Volume dicom = set.load_volume(set.cases()[0]), nrrd = set.load_volume(set.cases()[1]);
  EXPECT_LE((dicom.hu - nrrd.hu).abs().max().item<float>(), 1);
  for (size_t axis = 0; axis < 3; ++axis) {
    EXPECT_NEAR(dicom.origin_mm[axis], nrrd.origin_mm[axis], 0.01);
    EXPECT_NEAR(dicom.spacing_mm[axis], nrrd.spacing_mm[axis], 0.001);
  }
}

TEST(PreprocessTwoViews, KeepsBothWithStatisticsOfEachAndGoesOnWithOne) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "ct.nii", "test");
  write_png16(torch::full({16, 16}, 0.25f), folder / "f.png");
  write_png16(torch::full({16, 16}, 0.75f), folder / "l.png");
  write_file(folder / "broken.png", "no picture");
  write_file(folder / "m.csv",
             "id,ct,cxr,cxr_lateral,split\nboth,ct.nii,f.png,l.png,train\n"
             "side,ct.nii,,l.png,train\nbad,ct.nii,f.png,broken.png,train\n");
  auto options = small_preprocess_options();
  const auto studies = read_inputs({folder / "m.csv"});
  // Without the option the lateral ones are not looked at.
  EXPECT_EQ(preprocess(studies, options, 0, folder / "one").info.views(), CxrViews::frontal);
  EXPECT_EQ(read_file(folder / "one/index.csv").find("lateral"), std::string::npos);

  options.input.views = CxrViews::both;
  const auto result = preprocess(studies, options, 0, folder / "two");
  EXPECT_EQ(result.cases, 3);
  EXPECT_NEAR(result.info.cxr_mean, 0.25, 1e-3);
  EXPECT_NEAR(result.info.lateral_mean, 0.75, 1e-3);
  EXPECT_EQ(result.info.lateral_source_to_centre_mm, 1550);
  const Dataset set = Dataset::open(folder / "two");
  EXPECT_EQ(set.cases()[0].cxr_lateral, "cxr/both_lateral.png");
  EXPECT_TRUE(set.cases()[1].cxr.empty());
  EXPECT_TRUE(set.cases()[2].cxr_lateral.empty());
  EXPECT_CONTAINS(read_file(folder / "two/records/bad.json"), "view-unreadable");
  // Run again, nothing is left to do.
  EXPECT_EQ(preprocess(studies, options, 0, folder / "two").kept, 3);
}

TEST(PreprocessTwoViews, RendersBothFromTheCt) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "ct.nii", "test");
  write_file(folder / "m.csv", "id,ct\na,ct.nii\n");
  auto options = small_preprocess_options();
  options.input.views = CxrViews::both;
  options.cxr_from_ct = CxrFromCt::all;
  preprocess(read_inputs({folder / "m.csv"}), options, 0, folder / "set");
  const Dataset set = Dataset::open(folder / "set");
  const auto both = set.load_views(set.cases()[0], CxrViews::both);
  EXPECT_TRUE(at::isfinite(both).all().item<bool>());
  // Two lungs side by side from the front, one behind the other from the side.
  const auto across = [&](int64_t v) { return both[v].slice(0, 6, 10).mean(0); };
  const auto middle = [&](int64_t v) { return across(v).slice(0, 7, 9).mean().item<double>(); };
  EXPECT_GT(middle(0), middle(1));
}

}  // namespace
}  // namespace x2ctpa
