// From the headers of a series' slices to an ordered stack on an even, rectangular grid.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <numbers>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "imaging/dicom/dicom_slice.h"
#include "x2ctpa/core/counted.h"

namespace x2ctpa {

double dot(const Vec3& a, const Vec3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

namespace {

constexpr double harmless_jitter = 0.01;  // of the slice distance
constexpr double harmless_tilt_degrees = 0.5;

Vec3 cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

Vec3 minus(const Vec3& a, const Vec3& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }

using Slices = std::vector<SliceHeader>;

// Moves out the slices for which `bad` holds; returns how many.
template <class F>
size_t drop_if(Slices& slices, F bad) {
  return std::erase_if(slices, bad);
}

bool same_matrix(const SliceHeader& a, const SliceHeader& b) {
  const auto near = [](double x, double y) { return std::abs(x - y) <= 1e-3 * std::max(x, y); };
  return a.rows == b.rows && a.columns == b.columns && near(a.spacing_xy[0], b.spacing_xy[0]) &&
         near(a.spacing_xy[1], b.spacing_xy[1]);
}

bool same_orientation(const SliceHeader& a, const SliceHeader& b) {
  return dot(a.row, b.row) > 0.9999 && dot(a.column, b.column) > 0.9999;
}

// Keeps the largest group of slices that `same` holds for; returns how many were dropped.
template <class F>
size_t keep_majority(Slices& slices, F same) {
  std::vector<Slices> groups;
  for (auto& slice : slices) {
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const Slices& g) { return same(g.front(), slice); });
    if (group == groups.end())
      groups.push_back({slice});
    else
      group->push_back(slice);
  }
  if (groups.size() < 2) return 0;
  const auto largest =
      std::max_element(groups.begin(), groups.end(),
                       [](const Slices& a, const Slices& b) { return a.size() < b.size(); });
  const size_t dropped = slices.size() - largest->size();
  slices = *largest;
  return dropped;
}

// Drops what is no slice of the volume. Refuses the series when nothing is left.
void drop_misfits(Slices& slices, DicomSeries& series) {
  const auto drop = [&](size_t count, const char* code, const std::string& what) {
    if (count == 0) return;
    if (slices.empty())
      series.refuse(code, fmt::format("{}: {}",
                                      count == 1 ? "its one slice"
                                                 : fmt::format("all of its {} slices", count),
                                      what));
    else
      series.add_problem(code, fmt::format("{} of its slices: {}", count, what));
  };
  drop(drop_if(slices, [](const SliceHeader& s) { return s.truncated; }), "unreadable-file",
       "truncated before the end of their pixels; such slices count as missing");
  drop(drop_if(slices, [](const SliceHeader& s) { return s.secondary; }), "secondary-capture",
       "secondary captures (pictures of a screen), not used");
  drop(drop_if(slices, [](const SliceHeader& s) { return s.localizer; }), "localizer",
       "localizer images, not used");
  drop(drop_if(slices, [](const SliceHeader& s) { return s.frames > 1 && !s.has_geometry; }),
       "multi-frame", "frames of a file that does not say where each lies");
  drop(drop_if(slices,
               [](const SliceHeader& s) { return !s.has_geometry || s.rows < 2 || s.columns < 2; }),
       "no-geometry",
       "position, orientation or pixel spacing is missing or makes no sense, so the geometry is "
       "unknown");
  drop(keep_majority(slices, same_orientation), "localizer",
       "of another orientation than most, not used");
  drop(keep_majority(slices, same_matrix), "mixed-size",
       "of another matrix or pixel size than most; such slices count as missing");
}

// Sorts along the normal and drops slices at positions that are taken already.
std::vector<double> order_slices(Slices& slices, const Vec3& normal, DicomSeries& series) {
  std::map<int64_t, int64_t> acquisition_size;
  for (const auto& s : slices) ++acquisition_size[s.acquisition];
  const auto z = [&](const SliceHeader& s) { return dot(s.position, normal); };
  std::sort(slices.begin(), slices.end(),
            [&](const auto& a, const auto& b) { return z(a) < z(b); });
  std::vector<double> gaps;
  for (size_t i = 1; i < slices.size(); ++i) {
    const double gap = z(slices[i]) - z(slices[i - 1]);
    if (gap > 1e-3) gaps.push_back(gap);
  }
  if (gaps.empty()) gaps.push_back(1);
  std::nth_element(gaps.begin(), gaps.begin() + gaps.size() / 2, gaps.end());
  const double tolerance = std::max(1e-3, harmless_jitter * gaps[gaps.size() / 2]);
  // Of several slices at a place the one of the longest acquisition is kept, so that two phases
  // in one series are not mixed.
  const auto better = [&](const SliceHeader& a, const SliceHeader& b) {
    const auto rank = [&](const SliceHeader& s) {
      return std::tuple(-acquisition_size[s.acquisition], s.acquisition, s.instance,
                        s.file.string());
    };
    return rank(a) < rank(b);
  };
  Slices kept;
  for (auto& slice : slices) {
    if (kept.empty() || z(slice) - z(kept.back()) > tolerance)
      kept.push_back(slice);
    else if (better(slice, kept.back()))
      kept.back() = slice;
  }
  if (kept.size() < slices.size())
    series.add_problem("duplicate-position",
                       fmt::format("slices at a position that another slice has: {}; not used",
                                   slices.size() - kept.size()));
  slices = std::move(kept);
  std::vector<double> positions;
  for (const auto& s : slices) positions.push_back(z(s) - z(slices.front()));
  return positions;
}

// Judges the distances between slices; returns the spacing of the even grid.
double judge_spacing(const std::vector<double>& z, const SeriesLimits& limits,
                     DicomSeries& series) {
  std::vector<double> gaps;
  for (size_t i = 1; i < z.size(); ++i) gaps.push_back(z[i] - z[i - 1]);
  std::vector<double> sorted = gaps;
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  const double median = sorted[sorted.size() / 2];
  int64_t missing = 0, holes = 0, uneven = 0;
  double smallest = median, largest = median;
  for (double gap : gaps) {
    const double error = std::abs(gap - median);
    smallest = std::min(smallest, gap);
    largest = std::max(largest, gap);
    if (gap > 1.5 * median) {
      const int64_t slices = std::llround(gap / median) - 1;
      missing += slices;
      ++holes;
      if (slices > limits.missing_slices || gap - median > limits.missing_mm)
        series.refuse(
            "gap",
            fmt::format("a gap of {:.2f} mm, about {}, between slices {:.2f} mm apart; up to {} "
                        "slices and {} mm can be filled",
                        gap, counted(slices, "slice"), median, limits.missing_slices,
                        limits.missing_mm));
    } else if (error > harmless_jitter * median) {
      ++uneven;
    }
  }
  if (holes > 0)
    series.add_problem("gap", fmt::format("missing slices: {} in {}; filled by interpolation",
                                          missing, counted(holes, "place")));
  if (uneven > 0)
    series.add_problem("uneven-spacing",
                       fmt::format("slice distances vary from {:.3f} to {:.3f} mm (median {:.3f}); "
                                   "resampled to an even grid",
                                   smallest, largest, median));
  series.resampled = holes > 0 || uneven > 0;
  const double steps = std::max(1.0, std::round(z.back() / median));
  return series.resampled ? z.back() / steps : z.back() / double(z.size() - 1);
}

// Sets the grid; slices that are shifted in their plane (gantry tilt) widen it.
void set_grid(const Slices& slices, const Vec3& normal, double height, double spacing_z,
              const SeriesLimits& limits, DicomSeries& series) {
  const SliceHeader& first = slices.front();
  const std::array<Vec3, 3> axes{first.row, first.column, normal};
  std::array<double, 2> low{0, 0}, high{0, 0};
  for (const auto& s : slices)
    for (int a = 0; a < 2; ++a) {
      const double shift = dot(minus(s.position, first.position), axes[a]);
      low[a] = std::min(low[a], shift);
      high[a] = std::max(high[a], shift);
    }
  const Vec3 stack = minus(slices.back().position, first.position);
  const double sideways = std::hypot(dot(stack, first.row), dot(stack, first.column));
  const double tilt = std::atan2(sideways, height) * 180 / std::numbers::pi;
  if (tilt > harmless_tilt_degrees)
    series.add_problem(
        "tilt",
        fmt::format("the slices lean by {:.1f} degrees; resampled along their true axes", tilt));
  if (tilt > limits.tilt_degrees)
    series.refuse(
        "tilt",
        fmt::format(
            "the slices lean by {:.1f} degrees against the stack; up to {} can be resampled", tilt,
            limits.tilt_degrees));
  series.spacing_mm = {first.spacing_xy[0], first.spacing_xy[1], spacing_z};
  series.origin_mm = first.position;
  series.slice_size_hw = {first.rows, first.columns};
  series.size_dhw = {std::llround(height / spacing_z) + 1, first.rows, first.columns};
  for (int row = 0; row < 3; ++row)
    for (int a = 0; a < 3; ++a) series.direction[row][a] = axes[a][row];
  const bool shifted = high[0] - low[0] > 0.5 * series.spacing_mm[0] ||
                       high[1] - low[1] > 0.5 * series.spacing_mm[1];
  if (!shifted || !series.reason.empty()) return;
  series.resampled = true;
  for (int a = 0; a < 2; ++a) {
    series.size_dhw[2 - a] += int64_t(std::ceil((high[a] - low[a]) / series.spacing_mm[a] - 1e-6));
    for (int row = 0; row < 3; ++row) series.origin_mm[row] += low[a] * axes[a][row];
  }
}

}  // namespace

bool DicomSeries::axial() const { return std::abs(direction[2][2]) > 0.8; }

bool DicomSeries::has_problem(const std::string& code) const {
  return std::find(problems.begin(), problems.end(), code) != problems.end();
}

void DicomSeries::add_problem(const std::string& code, const std::string& note) {
  if (!has_problem(code)) problems.push_back(code);
  notes.push_back(fmt::format("{}: {}", code, note));
}

void DicomSeries::refuse(const std::string& code, const std::string& why) {
  add_problem(code, why);
  if (!reason.empty()) return;
  reason = why;
  reason_code = code;
}

void SeriesLimits::describe(OptionList& options) {
  options.add(
      "max_missing_slices", &missing_slices,
      "Slices in one gap that are filled by interpolation; a series with a longer gap is refused.",
      {.min = 0, .max = 1000});
  options.add("max_gap_mm", &missing_mm, "The same as a length in mm.", {.min = 0});
  options.add("max_tilt_degrees", &tilt_degrees,
              "Gantry tilt up to which a series is resampled instead of refused.",
              {.min = 0, .max = 60});
}

namespace {

// Notes which files of the series give no slice.
void note_left_out(const std::vector<std::filesystem::path>& all, DicomSeries& series) {
  const std::set<std::filesystem::path> used(series.files.begin(), series.files.end());
  std::set<std::filesystem::path> seen;
  for (const auto& file : all)
    if (!used.contains(file) && seen.insert(file).second) series.left_out.push_back(file);
}

void judge(Slices slices, const SeriesLimits& limits, DicomSeries& series) {
  if (series.modality != "CT")
    series.refuse("wrong-modality",
                  fmt::format("its modality is '{}'; expected CT", series.modality));
  drop_misfits(slices, series);
  if (slices.empty()) return;
  const size_t bare = size_t(std::count_if(slices.begin(), slices.end(),
                                           [](const SliceHeader& s) { return !s.has_rescale; }));
  if (bare > 0)
    series.add_problem(
        "no-rescale",
        fmt::format("{} of its slices have no rescale intercept; their values are taken "
                    "as HU",
                    bare));
  const Vec3 normal = cross(slices.front().row, slices.front().column);
  const auto z = order_slices(slices, normal, series);
  for (const auto& s : slices) {
    series.files.push_back(s.file);
    series.frames.push_back(s.frame);
    series.slice_origins_mm.push_back(s.position);
  }
  series.transfer_syntax = slices.front().transfer_syntax;
  series.slice_size_hw = {slices.front().rows, slices.front().columns};
  series.size_dhw = {int64_t(slices.size()), slices.front().rows, slices.front().columns};
  series.spacing_mm = {slices.front().spacing_xy[0], slices.front().spacing_xy[1], 0};
  if (slices.size() < 3) {
    series.refuse("too-few-slices",
                  counted(int64_t(slices.size()), "slice", "slices at different places") +
                      "; a volume needs at least 3");
    return;
  }
  const double spacing_z = judge_spacing(z, limits, series);
  set_grid(slices, normal, z.back(), spacing_z, limits, series);
}

}  // namespace

DicomSeries assess_series(Slices slices, const SeriesLimits& limits) {
  DicomSeries series;
  series.limits = limits;
  if (slices.empty()) {
    series.reason = "no files";
    return series;
  }
  series.uid = slices.front().series_uid;
  series.modality = slices.front().modality;
  series.transfer_syntax = slices.front().transfer_syntax;
  series.tags = slices.front().tags;
  series.slice_size_hw = {slices.front().rows, slices.front().columns};
  std::vector<std::filesystem::path> all;
  for (const auto& s : slices) all.push_back(s.file);
  judge(std::move(slices), limits, series);
  note_left_out(all, series);
  return series;
}

}  // namespace x2ctpa
