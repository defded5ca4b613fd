#include "x2ctpa/models/volume_form.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using test::expect_error;

std::optional<VolumeForm> form_of(const std::filesystem::path& folder, const std::string& text) {
  std::ofstream(volume_form_file(folder)) << text;
  return load_volume_form(folder);
}

TEST(VolumeForm, LaysAVolumeAlongTheAutoencodersAxesAndBack) {
  const VolumeForm form{.axes = {-3, -2, 1}};  // left to right, back to front, upwards
  const auto volume = torch::rand({2, 1, 3, 4, 5});
  const auto turned = form.turned(volume);
  EXPECT_EQ(turned.sizes(), at::IntArrayRef({2, 1, 5, 4, 3}));
  EXPECT_EQ(turned.sizes(), at::IntArrayRef(form.turned(volume.sizes())));
  for (const int64_t d : {0, 2}) {
    for (const int64_t h : {0, 3}) {
      for (const int64_t w : {0, 1})
        EXPECT_TRUE(at::equal(turned.select(4, d).select(3, 3 - h).select(2, 4 - w),
                              volume.select(4, w).select(3, h).select(2, d)));
    }
  }
  EXPECT_TRUE(at::equal(form.turned_back(turned), volume));
  const VolumeForm other{.axes = {2, -1, 3}};
  EXPECT_TRUE(at::equal(other.turned_back(other.turned(volume)), volume));
}

TEST(VolumeForm, MapsTheEndsOfTheWindowToItsRange) {
  const VolumeForm form{.low = 0, .high = 1};
  const auto x = torch::tensor({-1.0, 0.0, 1.0});
  EXPECT_TRUE(at::allclose(form.to_range(x), torch::tensor({0.0, 0.5, 1.0})));
  EXPECT_TRUE(at::allclose(form.from_range(form.to_range(x)), x));
}

TEST(VolumeForm, IsReadFromItsFileWhichNamesWhatIsWrong) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(load_volume_form(folder.path()).has_value());
  const auto form = form_of(folder.path(), "axes: [-1, 2, 3]\nlow: 0\nwindow_min_hu: -1024\n");
  EXPECT_EQ(form->axes, (std::vector<int64_t>{-1, 2, 3}));
  EXPECT_EQ(form->window_min_hu, -1024);
  EXPECT_EQ(form->high, 1);
  expect_error([&] { form_of(folder.path(), "axes: [1, -1, 2]\n"); }, "1, 2 and 3");
  expect_error([&] { form_of(folder.path(), "axes: [1, 0, 2]\n"); }, "1, 2 and 3");
  expect_error([&] { form_of(folder.path(), "low: 1\nhigh: 1\n"); }, "low < high");
}

}  // namespace
}  // namespace x2ctpa
