// The data doctor on one X-ray.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "data/check/check_parts.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

std::string pixel_hash(const at::Tensor& pixels) {
  const auto whole = (pixels * 65535).round().to(at::kInt).contiguous();
  const std::string_view bytes(reinterpret_cast<const char*>(whole.data_ptr<int>()),
                               size_t(whole.numel()) * sizeof(int));
  return sha256(fmt::format("{} {}", pixels.size(0), sha256(bytes)));
}

}  // namespace

void examine_cxr(const Radiograph& xray, const PreprocessOptions& options, StudyCheck& check) {
  CxrFacts facts;
  facts.height = xray.pixels.size(0);
  facts.width = xray.pixels.size(1);
  facts.bits = xray.bits;
  facts.photometric = xray.photometric;
  facts.modality = xray.modality;
  facts.inverted = xray.inverted;
  facts.mean = xray.pixels.mean().item<double>();
  facts.hash = pixel_hash(xray.pixels);
  const auto add = [&](Severity severity, const std::string& code, const std::string& what) {
    check.findings.push_back({severity, code, check.study.id, what});
  };
  if (options.source == PictureSource::cxr) {
    for (size_t i = 0; i < xray.warnings.size(); ++i) {
      const std::string code = i < xray.codes.size() ? xray.codes[i] : "cxr-doubtful";
      const bool settled = code == "range" || code == "turned";
      add(settled ? Severity::info : Severity::warning, code, "X-ray: " + xray.warnings[i]);
    }
    const double white = xray.pixels.ge(0.999).to(at::kFloat).mean().item<double>();
    if (white > 0.1) {
      add(Severity::warning, "cxr-saturated",
          fmt::format("{:.0f}% of the X-ray is pure white", 100 * white));
    }
  }
  if (std::min(facts.height, facts.width) < options.cxr_size) {
    add(Severity::warning, "cxr-small",
        fmt::format("the X-ray has {} x {} pixels, fewer than the {} it is brought to", facts.width,
                    facts.height, options.cxr_size));
  }
  check.pictures[2] = thumbnail(xray.pixels, {1, 1});
  check.cxr = facts;
}

std::string thumbnail(const at::Tensor& picture, std::array<double, 2> pixel_mm) {
  constexpr double side = 168;
  const double height = double(picture.size(0)) * pixel_mm[0];
  const double width = double(picture.size(1)) * pixel_mm[1];
  const double scale = side / std::max(height, width);
  const auto pixels = [&](double mm) { return std::max<int64_t>(1, std::llround(mm * scale)); };
  const auto small =
      at::_upsample_bilinear2d_aa(picture.to(at::kFloat).contiguous().unsqueeze(0).unsqueeze(0),
                                  {pixels(height), pixels(width)}, /*align_corners=*/false);
  return png8_bytes(small[0][0].clamp(0, 1));
}

}  // namespace x2ctpa
