#include "x2ctpa/imaging/preview.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace x2ctpa {
namespace {

constexpr int64_t tile_side = 160;  // side of the square that each view is fitted into
constexpr int64_t gap = 4;

// Letters of 5 x 7 dots, a row per number, the highest bit at the left.
const std::map<char, std::array<int, 7>> glyphs{
    {'A', {14, 17, 17, 31, 17, 17, 17}}, {'C', {14, 17, 16, 16, 16, 17, 14}},
    {'D', {30, 17, 17, 17, 17, 17, 30}}, {'E', {31, 16, 16, 30, 16, 16, 31}},
    {'F', {31, 16, 16, 30, 16, 16, 16}}, {'G', {14, 17, 16, 23, 17, 17, 15}},
    {'H', {17, 17, 17, 31, 17, 17, 17}}, {'I', {14, 4, 4, 4, 4, 4, 14}},
    {'N', {17, 25, 21, 19, 17, 17, 17}}, {'O', {14, 17, 17, 17, 17, 17, 14}},
    {'R', {30, 17, 17, 30, 20, 18, 17}}, {'S', {15, 16, 16, 14, 1, 1, 30}},
    {'T', {31, 4, 4, 4, 4, 4, 4}},       {'Y', {17, 17, 10, 4, 4, 4, 4}},
    {',', {0, 0, 0, 0, 12, 4, 8}}};

// A white line of text on black, each dot two pixels wide.
at::Tensor text_line(const std::string& text) {
  auto line = at::zeros({7, int64_t(text.size()) * 6});
  for (size_t i = 0; i < text.size(); ++i) {
    const auto glyph = glyphs.find(text[i]);
    if (glyph == glyphs.end()) continue;
    for (int64_t row = 0; row < 7; ++row)
      for (int64_t column = 0; column < 5; ++column)
        if (glyph->second[size_t(row)] >> (4 - column) & 1) line[row][int64_t(i) * 6 + column] = 1;
  }
  return line.repeat_interleave(2, 0).repeat_interleave(2, 1);
}

// The view in the middle of a tile; its pixels are `row_mm` x `column_mm`.
at::Tensor fitted(const at::Tensor& view, double row_mm, double column_mm) {
  const double height = double(view.size(0)) * row_mm, width = double(view.size(1)) * column_mm;
  const double scale = double(tile_side) / std::max(height, width);
  const auto side = [&](double mm) {
    return std::clamp<int64_t>(std::lround(mm * scale), 1, tile_side);
  };
  const int64_t rows = side(height), columns = side(width);
  const auto resized = at::_upsample_bilinear2d_aa(
      view.to(at::kFloat).contiguous().view({1, 1, view.size(0), view.size(1)}), {rows, columns},
      false)[0][0];
  auto tile = at::zeros({tile_side, tile_side});
  tile.narrow(0, (tile_side - rows) / 2, rows)
      .narrow(1, (tile_side - columns) / 2, columns)
      .copy_(resized);
  return tile;
}

at::Tensor row_of(const std::vector<at::Tensor>& tiles) {
  std::vector<at::Tensor> spaced;
  for (const auto& tile : tiles) {
    spaced.push_back(tile);
    spaced.push_back(at::zeros({tile_side, gap}));
  }
  return at::cat(spaced, 1);
}

}  // namespace

at::Tensor preview_picture(const Volume& volume, double min_hu, double max_hu,
                           const at::Tensor& cxr, bool synthetic) {
  const auto grey = ((volume.hu.to(at::kFloat) - min_hu) / (max_hu - min_hu)).clamp(0, 1);
  const double x = volume.spacing_mm[0], y = volume.spacing_mm[1], z = volume.spacing_mm[2];
  const auto coronal = [&](const at::Tensor& view) { return fitted(view.flip(0), z, x); };
  const auto sagittal = [&](const at::Tensor& view) { return fitted(view.flip(0), z, y); };
  const auto axial = [&](const at::Tensor& view) { return fitted(view, y, x); };

  std::vector<at::Tensor> rows;
  rows.push_back(row_of({cxr.defined() ? fitted(cxr, 1, 1) : at::zeros({tile_side, tile_side}),
                         coronal(grey.amax(1)), sagittal(grey.amax(2)), axial(grey.amax(0))}));
  std::vector<at::Tensor> slices[3];
  for (int64_t i = 1; i <= 4; ++i) {
    const auto at = [&](int64_t axis) {
      return std::min(grey.size(axis) * i / 5, grey.size(axis) - 1);
    };
    slices[0].push_back(axial(grey.select(0, at(0))));
    slices[1].push_back(coronal(grey.select(1, at(1))));
    slices[2].push_back(sagittal(grey.select(2, at(2))));
  }
  for (const auto& line : slices) rows.push_back(row_of(line));
  std::vector<at::Tensor> parts;
  if (synthetic) {
    const auto text = text_line("SYNTHETIC, NOT FOR DIAGNOSIS");
    auto head = at::zeros({text.size(0) + 2 * gap, rows[0].size(1)});
    head.narrow(0, gap, text.size(0)).narrow(1, gap, text.size(1)).copy_(text);
    parts.push_back(head);
  }
  for (const auto& row : rows) {
    parts.push_back(row);
    parts.push_back(at::zeros({gap, row.size(1)}));
  }
  return at::cat(parts, 0);
}

}  // namespace x2ctpa
