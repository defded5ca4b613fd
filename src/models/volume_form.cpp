#include "x2ctpa/models/volume_form.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

// Where each axis of the autoencoder is in a volume (B, C, D, H, W), and which of them are
// reversed.
std::vector<int64_t> places(const std::vector<int64_t>& axes) {
  std::vector<int64_t> found{0, 1};
  for (const int64_t axis : axes) found.push_back(1 + std::abs(axis));
  return found;
}

std::vector<int64_t> reversed_axes(const std::vector<int64_t>& axes) {
  std::vector<int64_t> found;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] < 0) found.push_back(int64_t(i) + 2);
  }
  return found;
}

void check_form(const VolumeForm& form, const std::filesystem::path& file) {
  auto order = places(form.axes);
  std::sort(order.begin(), order.end());
  if (order != std::vector<int64_t>{0, 1, 2, 3, 4}) {
    throw Error(fmt::format(
        "{}: axes: expected 1, 2 and 3 (D, H, W) in some order, each with either sign, found [{}]",
        file.string(), fmt::join(form.axes, ", ")));
  }
  if (!(form.low < form.high) || !(form.window_min_hu < form.window_max_hu)) {
    throw Error(fmt::format(
        "{}: expected low < high and window_min_hu < window_max_hu, found {} and {}, {} and {}",
        file.string(), form.low, form.high, form.window_min_hu, form.window_max_hu));
  }
}

}  // namespace

void VolumeForm::describe(OptionList& list) {
  list.add("axes", &axes,
           "The canonical axes (1: D, 2: H, 3: W) in the autoencoder's order; negative: reversed.",
           {.min = -3, .max = 3, .count = 3});
  list.add("low", &low, "What it takes for the lower end of the window.");
  list.add("high", &high, "What it takes for the upper end of the window.");
  list.add("window_min_hu", &window_min_hu, "Lower end of the window that it was trained in.");
  list.add("window_max_hu", &window_max_hu, "Upper end of the window that it was trained in.");
}

at::Tensor VolumeForm::turned(const at::Tensor& x) const {
  const auto ordered = x.permute(places(axes));
  const auto reversed = reversed_axes(axes);
  return reversed.empty() ? ordered : ordered.flip(reversed);
}

at::Tensor VolumeForm::turned_back(const at::Tensor& x) const {
  const auto reversed = reversed_axes(axes), from = places(axes);
  std::vector<int64_t> back(from.size());
  for (size_t i = 0; i < from.size(); ++i) back[size_t(from[i])] = int64_t(i);
  return (reversed.empty() ? x : x.flip(reversed)).permute(back);
}

std::vector<int64_t> VolumeForm::turned(at::IntArrayRef shape) const {
  std::vector<int64_t> found;
  for (const int64_t place : places(axes)) found.push_back(shape[size_t(place)]);
  return found;
}

at::Tensor VolumeForm::to_range(const at::Tensor& x) const {
  return (x + 1) * ((high - low) / 2) + low;
}

at::Tensor VolumeForm::from_range(const at::Tensor& x) const {
  return (x - low) * (2 / (high - low)) - 1;
}

std::filesystem::path volume_form_file(const std::filesystem::path& folder) {
  return folder / "volumes.yaml";
}

std::string volume_form_text(const std::filesystem::path& folder) {
  const auto file = volume_form_file(folder);
  return std::filesystem::exists(file) ? read_file(file) : std::string();
}

std::optional<VolumeForm> load_volume_form(const std::filesystem::path& folder) {
  const auto file = volume_form_file(folder);
  if (!std::filesystem::exists(file)) return std::nullopt;
  const auto form = load_options<VolumeForm>(file);
  check_form(form, file);
  return form;
}

}  // namespace x2ctpa
