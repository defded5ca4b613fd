#include "x2ctpa/core/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class Safetensors : public testing::Test {
 protected:
  fs::path file_ =
      fs::temp_directory_path() / fmt::format("x2ctpa_safetensors_{}.safetensors", getpid());
  void TearDown() override { fs::remove(file_); }
  void write_raw(const std::string& header, const std::string& data) {
    const uint64_t n = header.size();
    write_file(file_, std::string(reinterpret_cast<const char*>(&n), 8) + header + data);
  }
  std::string refusal() {
    try {
      read_safetensors(file_);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
};

TEST_F(Safetensors, EveryTypeAndShapeSurvivesARoundTrip) {
  TensorMap in;
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                          at::kShort, at::kChar, at::kByte, at::kBool}) {
    in[std::string("t_") + c10::toString(type)] = at::arange(6).reshape({2, 3}).to(type);
  }
  in["odd"] = at::ones({3}, at::kByte);
  in["empty"] = at::empty({0, 4});
  in["scalar"] = at::scalar_tensor(2.5);
  in["strided"] = at::arange(12.0).reshape({3, 4}).t();
  write_safetensors(file_, in, {{"format", "pt"}});
  const auto out = read_safetensors(file_);
  ASSERT_EQ(out.size(), in.size());
  for (const auto& [name, tensor] : in) {
    EXPECT_EQ(out.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(out.at(name), tensor)) << name;
  }
  EXPECT_EQ(read_safetensors_metadata(file_).at("format"), "pt");
}

TEST_F(Safetensors, LyingHeadersAreRefusedWithTheTensorAndTheReason) {
  const std::string eight(8, '\0');
  write_raw(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", eight);
  EXPECT_NE(refusal().find("\"w\""), std::string::npos);
  write_raw(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
            R"("v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
            eight);
  EXPECT_NE(refusal().find("overlap"), std::string::npos);
  write_raw(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,800]}})", eight);
  EXPECT_FALSE(refusal().empty());
  write_raw(R"({"w":{"dtype":"Q7","shape":[2],"data_offsets":[0,8]}})", eight);
  EXPECT_NE(refusal().find("dtype"), std::string::npos);
  write_raw(
      R"({"w":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}})",
      "");
  EXPECT_FALSE(refusal().empty());
  write_raw(R"({"w":)", eight);
  EXPECT_NE(refusal().find("JSON"), std::string::npos);
}

TEST_F(Safetensors, RandomDamageNeverCrashesTheReader) {
  write_safetensors(file_, {{"a", at::ones({4, 4})}, {"b", at::zeros({7}, at::kLong)}});
  const std::string good = read_file(file_);
  auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
  for (int i = 0; i < 300; ++i) {
    std::string bad = good;
    const int64_t where = at::randint(int64_t(good.size()), {1}, generator).item<int64_t>();
    if (i % 3 == 0)
      bad.resize(size_t(where));
    else
      bad[size_t(where)] = char(at::randint(256, {1}, generator).item<int64_t>());
    write_file(file_, bad);
    try {
      for (const auto& [name, tensor] : read_safetensors(file_)) tensor.sum();
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace x2ctpa
