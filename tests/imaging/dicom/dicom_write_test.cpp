#include "x2ctpa/imaging/dicom/dicom_write.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gdcmReader.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class DicomWrite : public testing::Test {
 protected:
  DicomWrite() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / fmt::format("x2ctpa_{}", test->name());
    fs::remove_all(folder_);
    volume_.hu = at::arange(5 * 6 * 7, at::kFloat).view({5, 6, 7}) - 60;
    volume_.spacing_mm = {0.8, 0.9, 2.5};
    volume_.origin_mm = {-101.5, 33.25, -700};
    const double c = std::cos(0.1), s = std::sin(0.1);
    volume_.direction = {{{c, 0, s}, {0, 1, 0}, {-s, 0, c}}};
  }
  ~DicomWrite() override { fs::remove_all(folder_); }

  static std::vector<double> numbers(const gdcm::DataSet& set, uint16_t group, uint16_t element) {
    const gdcm::ByteValue* value = set.GetDataElement(gdcm::Tag(group, element)).GetByteValue();
    std::vector<double> list;
    std::stringstream text(std::string(value->GetPointer(), value->GetLength()));
    for (std::string part; std::getline(text, part, '\\');) list.push_back(std::stod(part));
    return list;
  }
  static std::string word(const gdcm::DataSet& set, uint16_t group, uint16_t element) {
    const gdcm::ByteValue* value = set.GetDataElement(gdcm::Tag(group, element)).GetByteValue();
    std::string text(value->GetPointer(), value->GetLength());
    while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.pop_back();
    return text;
  }
  static const uint16_t* pixels(const gdcm::DataSet& set) {
    return reinterpret_cast<const uint16_t*>(
        set.GetDataElement(gdcm::Tag(0x7fe0, 0x0010)).GetByteValue()->GetPointer());
  }

  fs::path folder_;
  Volume volume_;
  DicomTags tags_{"P0001", "F", 42};
};

TEST_F(DicomWrite, SlicesCarryTheirPlaceDirectionAndHu) {
  write_ct_series(volume_, folder_, tags_);
  std::set<int> seen;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    gdcm::Reader reader;
    reader.SetFileName(entry.path().c_str());
    ASSERT_TRUE(reader.Read());
    const gdcm::DataSet& set = reader.GetFile().GetDataSet();
    const auto place = numbers(set, 0x0020, 0x0032);
    const Vec3 index = volume_.index({place[0], place[1], place[2]});
    const int k = int(std::lround(index[2]));
    EXPECT_NEAR(index[0], 0, 1e-5);
    EXPECT_NEAR(index[1], 0, 1e-5);
    EXPECT_NEAR(index[2], k, 1e-5);
    seen.insert(k);
    EXPECT_NEAR(numbers(set, 0x0020, 0x0037)[2], -std::sin(0.1), 1e-8);
    EXPECT_EQ(numbers(set, 0x0028, 0x0030), (std::vector<double>{0.9, 0.8}));
    const float hu = volume_.hu[k][4][3].item<float>();
    EXPECT_EQ(pixels(set)[4 * 7 + 3] + numbers(set, 0x0028, 0x1052)[0], hu);
    EXPECT_EQ(word(set, 0x0008, 0x0060), "CT");
  }
  EXPECT_EQ(seen.size(), 5u);
}

TEST_F(DicomWrite, SameArgumentsGiveTheSameBytesAndAnotherSeedOtherUids) {
  write_ct_series(volume_, folder_ / "a", tags_);
  write_ct_series(volume_, folder_ / "b", tags_);
  tags_.uid_seed = 43;
  write_ct_series(volume_, folder_ / "c", tags_);
  for (const auto& entry : fs::directory_iterator(folder_ / "a")) {
    const fs::path name = entry.path().filename();
    EXPECT_EQ(sha256_of_file(entry.path()), sha256_of_file(folder_ / "b" / name));
    EXPECT_NE(sha256_of_file(entry.path()), sha256_of_file(folder_ / "c" / name));
  }
}

TEST_F(DicomWrite, HuBeyondTwelveBitsIsClipped) {
  volume_.hu.fill_(-3000);
  volume_.hu[2].fill_(9000);
  write_ct_series(volume_, folder_, tags_);
  std::set<int> values;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    gdcm::Reader reader;
    reader.SetFileName(entry.path().c_str());
    ASSERT_TRUE(reader.Read());
    values.insert(pixels(reader.GetFile().GetDataSet())[0]);
  }
  EXPECT_EQ(values, (std::set<int>{0, 4095}));
}

TEST_F(DicomWrite, Monochrome1StoresInvertedValues) {
  const auto picture = at::linspace(0, 1, 12).view({3, 4});
  CxrTags tags;
  tags.patient_id = "P0001";
  tags.pixel_spacing_mm = 1.5;
  write_cxr(picture, folder_ / "plain.dcm", tags);
  tags.mono1 = true;
  write_cxr(picture, folder_ / "inverse.dcm", tags);
  gdcm::Reader plain, inverse;
  plain.SetFileName((folder_ / "plain.dcm").c_str());
  inverse.SetFileName((folder_ / "inverse.dcm").c_str());
  ASSERT_TRUE(plain.Read() && inverse.Read());
  const auto& a = plain.GetFile().GetDataSet();
  const auto& b = inverse.GetFile().GetDataSet();
  EXPECT_EQ(word(a, 0x0028, 0x0004), "MONOCHROME2");
  EXPECT_EQ(word(b, 0x0028, 0x0004), "MONOCHROME1");
  EXPECT_EQ(word(a, 0x0018, 0x5101), "PA");
  for (int i = 0; i < 12; ++i) EXPECT_EQ(pixels(a)[i] + pixels(b)[i], 4095);
}

TEST_F(DicomWrite, WrongShapesAndUnwritableFoldersAreRefused) {
  EXPECT_THROW(write_cxr(at::zeros({1, 4, 4}), folder_ / "a.dcm", {}), Error);
  volume_.hu = volume_.hu[0];
  EXPECT_THROW(write_ct_series(volume_, folder_, tags_), Error);
  EXPECT_THROW(write_cxr(at::zeros({4, 4}), "/dev/null/a.dcm", {}), Error);
}

TEST_F(DicomWrite, AWriteThatFailsInTheMiddleIsAnError) {
  // A limit on the size of a file fails a write as a full disk does.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 20000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {
    write_cxr(at::zeros({128, 128}), folder_ / "a.dcm", {});
  } catch (const Error& error) {
    message = error.what();
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_NE(message.find("a.dcm: File too large"), std::string::npos) << message;
}

// Found by tests/faults/fault_table.py: GDCM ends the process there.
TEST_F(DicomWrite, AFileThatCannotBeOpenedIsAnError) {
  fs::create_directories(folder_ / "a.dcm");
  try {
    write_cxr(at::zeros({8, 8}), folder_ / "a.dcm", {});
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("a.dcm"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace x2ctpa
