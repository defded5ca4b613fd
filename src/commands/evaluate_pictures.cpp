// Pictures of the report. Anatomy stands as radiologists hang it: axial with anterior up and the
// patient's right on the left, coronal and sagittal with the head up.
#include "evaluate_html.h"
#include "evaluate_steps.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/radiograph.h"

namespace x2ctpa {
namespace {

struct Plane {
  const char* name;
  // Picture (rows, columns) of a volume (D, H, W).
  torch::Tensor (*cut)(const torch::Tensor& volume);
  int rows_axis, columns_axis;  // axes of spacing (x, y, z) along the picture
};

const Plane kPlanes[] = {
    {"Axial", [](const torch::Tensor& v) { return v.select(0, v.size(0) / 2); }, 1, 0},
    {"Coronal", [](const torch::Tensor& v) { return v.select(1, v.size(1) / 2).flip(0); }, 2, 0},
    {"Sagittal", [](const torch::Tensor& v) { return v.select(2, v.size(2) / 2).flip(0); }, 2, 1},
    {"Coronal MIP", [](const torch::Tensor& v) { return v.amax(1).flip(0); }, 2, 0},
};

std::string image_tag(const torch::Tensor& picture, const std::string& alt, double aspect) {
  return fmt::format(
      "<img src=\"data:image/png;base64,{}\" alt=\"{}\" style=\"aspect-ratio:{:.4f}\">",
      base64(png8_bytes(picture)), html_escaped(alt), aspect);
}

// Blue where the generated volume is darker, red where it is brighter, black where equal.
torch::Tensor difference_colours(const torch::Tensor& difference, double full_scale) {
  const auto strength = (difference / full_scale).clamp(-1, 1);
  const auto red = strength.clamp_min(0), blue = (-strength).clamp_min(0);
  const auto green = 0.45 * torch::maximum(red, blue);
  return torch::stack({red + 0.1 * blue, green, blue + 0.1 * red}).clamp(0, 1);
}

std::string case_figure(const CaseResult& c, const std::string& rank,
                        const IntensityWindow& window) {
  const Volume truth = read_oriented(c.pair.real), made = read_oriented(c.pair.generated);
  const double range = window.max_hu - window.min_hu;
  const auto grey = [&](const Volume& v) {
    return (v.hu.clamp(window.min_hu, window.max_hu) - window.min_hu) / range;
  };
  const torch::Tensor a = grey(truth), b = grey(made);
  const ImageQuality& q = *c.quality[kGenerated];

  std::string html = fmt::format(
      "<figure class=\"case\"><figcaption><b>{}</b> {} <span>PSNR {} dB · SSIM 3D {} · MAE {} "
      "HU</span></figcaption><div class=\"case-body\">",
      rank, html_escaped(c.pair.case_id), number_text(q.psnr_db), number_text(q.ssim_3d, 3),
      number_text(q.mae, 1));
  if (!c.pair.cxr.empty() && std::filesystem::exists(c.pair.cxr)) {
    const auto cxr = read_radiograph(c.pair.cxr).pixels;
    html += fmt::format("<div class=\"cxr\"><div class=\"head\">CXR (input)</div>{}</div>",
                        image_tag(cxr, "chest X-ray of " + c.pair.case_id,
                                  double(cxr.size(1)) / double(cxr.size(0))));
  }
  html +=
      "<div class=\"planes\"><div></div><div class=\"head\">Real</div><div "
      "class=\"head\">Generated</div><div class=\"head\">Difference</div>";
  for (const Plane& plane : kPlanes) {
    const torch::Tensor real = plane.cut(a), generated = plane.cut(b);
    const double aspect = double(real.size(1)) * truth.spacing_mm[plane.columns_axis] /
                          (double(real.size(0)) * truth.spacing_mm[plane.rows_axis]);
    html += fmt::format("<div class=\"plane\">{}</div>{}{}{}", plane.name,
                        image_tag(real, fmt::format("{}, real", plane.name), aspect),
                        image_tag(generated, fmt::format("{}, generated", plane.name), aspect),
                        image_tag(difference_colours(generated - real, 0.5),
                                  fmt::format("{}, difference", plane.name), aspect));
  }
  return html + "</div></div></figure>\n";
}

std::string rank_name(int64_t place, int64_t shown) {
  if (place == 0) return "Best";
  if (place == shown - 1) return "Worst";
  if (2 * place == shown - 1) return "Median";
  return fmt::format("{:.0f}th percentile from the best",
                     100.0 * double(place) / double(shown - 1));
}

}  // namespace

std::string html_pictures(const Evaluation& evaluation) {
  const auto& cases = evaluation.images.cases;
  std::vector<size_t> order(cases.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) {
    return cases[i].quality[kGenerated]->psnr_db > cases[j].quality[kGenerated]->psnr_db;
  });
  const int64_t total = int64_t(order.size()),
                shown = std::min(total, evaluation.options.report_cases);
  std::string html;
  for (int64_t k = 0; k < shown; ++k) {
    const int64_t place =
        shown == 1 ? total / 2 : (k * (total - 1) + (shown - 1) / 2) / (shown - 1);
    const std::string rank = shown == 1 ? "Median" : rank_name(k, shown);
    html += case_figure(cases[order[place]], rank, evaluation.inputs.window);
  }
  return html;
}

}  // namespace x2ctpa
