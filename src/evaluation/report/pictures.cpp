// Pictures of the report. Anatomy stands as radiologists hang it: axial with anterior up and the
// patient's right on the left, coronal and sagittal with the head up.
#include "evaluation/report/html.h"
#include "evaluation/steps.h"
#include "x2ctpa/imaging/clipped_air.h"
#include "x2ctpa/imaging/drr/drr.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

// Voxels of a mosaic: enough to see, few enough to embed.
constexpr int64_t most_slices = 64, most_pixels = 128;
constexpr int64_t mosaic_columns = 8;

std::string image_tag(const at::Tensor& picture, const std::string& alt, double aspect) {
  return fmt::format(
      "<img src=\"data:image/png;base64,{}\" alt=\"{}\" style=\"aspect-ratio:{:.4f}\">",
      base64(png8_bytes(picture)), html_escaped(alt), aspect);
}

// (D, H, W) in [0, 1], made smaller where it is large.
at::Tensor shown_volume(const at::Tensor& grey) {
  const std::vector<int64_t> size{std::min(most_slices, grey.size(0)),
                                  std::min(most_pixels, grey.size(1)),
                                  std::min(most_pixels, grey.size(2))};
  return at::adaptive_avg_pool3d(grey.unsqueeze(0), size).squeeze(0);
}

// All slices in one picture, mosaic_columns to a row; report.js cuts the three planes out of it.
std::string mosaic_tag(const at::Tensor& volume, const char* kind) {
  const int64_t rows = (volume.size(0) + mosaic_columns - 1) / mosaic_columns;
  auto padded = torch::zeros({rows * mosaic_columns, volume.size(1), volume.size(2)});
  padded.narrow(0, 0, volume.size(0)).copy_(volume);
  const auto picture = padded.view({rows, mosaic_columns, volume.size(1), volume.size(2)})
                           .transpose(1, 2)
                           .reshape({rows * volume.size(1), mosaic_columns * volume.size(2)});
  return fmt::format(
      "<img class=\"mosaic\" data-kind=\"{}\" alt=\"\" src=\"data:image/png;base64,{}\">", kind,
      base64(png8_bytes(picture)));
}

// The X-ray that the volume itself would give, in the geometry of the dataset.
at::Tensor film_of(Volume volume, const EvaluationInputs& inputs) {
  const auto& w = inputs.window;
  volume.hu = with_clipped_air(volume.hu, w.min_hu, w.max_hu, ClippedAir::step);
  DrrOptions options;
  options.geometry = inputs.info.geometry;
  return displayed_xray(render_drr(volume, options));
}

std::string film_row(const CaseResult& c, const Volume& truth, const Volume& made,
                     const EvaluationInputs& inputs) {
  std::string html =
      "<div class=\"planes\"><div></div><div class=\"head\">CXR (input)</div><div "
      "class=\"head\">DRR of real</div><div class=\"head\">DRR of "
      "generated</div><div class=\"plane\">Frontal</div>";
  html += !c.pair.cxr.empty() && std::filesystem::exists(c.pair.cxr)
              ? image_tag(read_radiograph(c.pair.cxr).pixels, "chest X-ray of " + c.pair.case_id, 1)
              : "<div class=\"none\">no X-ray given</div>";
  html += image_tag(film_of(truth, inputs), "DRR of the real volume", 1);
  html += image_tag(film_of(made, inputs), "DRR of the generated volume", 1);
  return html + "</div>";
}

std::string plane_rows() {
  std::string html;
  for (const char* plane : plane_names) {
    html += fmt::format("<div class=\"plane\">{}</div>", plane);
    for (const char* kind : {"real", "generated", "difference"})
      html += fmt::format(
          "<canvas data-plane=\"{0}\" data-kind=\"{1}\" role=\"img\" "
          "aria-label=\"{0}, {1}\"></canvas>",
          plane, kind);
    html += fmt::format(
        "<div></div><label class=\"slider\"><input type=\"range\" data-plane=\"{0}\" "
        "aria-label=\"{0} slice\"><output></output></label>",
        plane);
  }
  return html;
}

std::string case_figure(const CaseResult& c, const std::string& rank,
                        const EvaluationInputs& inputs) {
  Volume truth = read_oriented(c.pair.real), made = truth;
  made.hu = read_oriented(c.pair.generated).hu;
  const IntensityWindow& window = inputs.window;
  const auto grey = [&](const Volume& v) {
    return (v.hu.clamp(window.min_hu, window.max_hu) - window.min_hu) /
           (window.max_hu - window.min_hu);
  };
  const at::Tensor a = grey(truth), b = grey(made), small_a = shown_volume(a);
  const MetricValues& q = *c.quality[source::generated];
  const auto side = [&](int axis) { return double(a.size(2 - axis)) * truth.spacing_mm[axis]; };
  std::string html = fmt::format(
      "<figure class=\"case\" data-size=\"{},{},{}\" data-mm=\"{:.4g},{:.4g},{:.4g}\" "
      "data-columns=\"{}\" data-window=\"{:g},{:g}\"><figcaption><b>{}</b> {} <span>PSNR {} dB · "
      "SSIM 3D {} · MAE {} HU (paper/1)</span></figcaption>",
      small_a.size(0), small_a.size(1), small_a.size(2), side(2), side(1), side(0), mosaic_columns,
      window.min_hu, window.max_hu, rank, html_escaped(c.pair.case_id),
      number_text(q[metric::psnr]), number_text(q[metric::ssim3d], 3),
      number_text(q[metric::mae], 1));
  html += mosaic_tag(small_a, "real") + mosaic_tag(shown_volume(b), "generated");
  html +=
      "<div class=\"planes\"><div></div><div class=\"head\">Real</div><div "
      "class=\"head\">Generated</div><div class=\"head\">Difference</div>";
  html += plane_rows();
  const double aspect = side(0) / side(2);
  const auto mip = [](const at::Tensor& v) { return v.amax(1).flip(0); };
  html += "<div class=\"plane\">coronal MIP</div>" + image_tag(mip(a), "MIP, real", aspect) +
          image_tag(mip(b), "MIP, generated", aspect) + "<div></div></div>";
  return html + film_row(c, truth, made, inputs) + "</figure>\n";
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
    return (*cases[i].quality[source::generated])[metric::psnr] >
           (*cases[j].quality[source::generated])[metric::psnr];
  });
  const int64_t total = int64_t(order.size()),
                shown = std::min(total, evaluation.options.report_cases);
  std::string html;
  for (int64_t k = 0; k < shown; ++k) {
    const int64_t place =
        shown == 1 ? total / 2 : (k * (total - 1) + (shown - 1) / 2) / (shown - 1);
    const std::string rank = shown == 1 ? "Median" : rank_name(k, shown);
    html += case_figure(cases[order[place]], rank, evaluation.inputs);
  }
  return html;
}

}  // namespace x2ctpa
