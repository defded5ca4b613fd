// The report: one HTML page that opens without network.
#include <cmath>
#include <nlohmann/json.hpp>

#include "evaluation/report/html.h"
#include "evaluation/steps.h"

namespace x2ctpa {

// Compiled in by x2ctpa_embed.
extern const char* const chart_js;
extern const char* const report_css;
extern const char* const report_js;

namespace {

const char* const source_titles[] = {"right CXR", "another patient's CXR", "mean training volume"};

std::string data_range_text(const Evaluation& evaluation) {
  const auto& w = evaluation.inputs.window;
  return fmt::format("HU clipped to [{:g}, {:g}] (window of {}), data range {:g} HU, no mask",
                     w.min_hu, w.max_hu, evaluation.inputs.window_source, w.max_hu - w.min_hu);
}

std::string card(const std::string& label, const std::string& value, const std::string& note) {
  return fmt::format(
      "<div class=\"card\"><div class=\"label\">{}</div><div class=\"value\">{}</div><div "
      "class=\"note\">{}</div></div>",
      label, value, note);
}

std::string psnr_card(const MetricSummary& psnr, int source) {
  const Distribution& d = psnr.sources[source];
  if (d.n == 0) return card(fmt::format("PSNR, {}", source_titles[source]), "–", "not available");
  std::string note = fmt::format("median of {} cases", d.n);
  if (psnr.tests[source]) {
    const double gain = psnr.tests[source]->wilcoxon.median_difference;
    note += fmt::format("; right CXR is {} dB {}, p {}", number_text(std::abs(gain)),
                        gain >= 0 ? "better" : "worse", p_text(psnr.tests[source]->p_holm));
  }
  return card(fmt::format("PSNR, {}", source_titles[source]),
              number_text(d.median) + "<small> dB</small>", note);
}

std::string summary_section(const Evaluation& evaluation) {
  std::string html = "<section><h2>Summary</h2><div class=\"cards\">";
  if (!evaluation.images.metrics.empty()) {
    for (int source = 0; source < source::count; ++source)
      html += psnr_card(evaluation.images.metrics[0], source);
  }
  if (evaluation.inputs.reconstruction_psnr_db) {
    html += card("VQ-GAN alone",
                 number_text(*evaluation.inputs.reconstruction_psnr_db) + "<small> dB</small>",
                 fmt::format("mean reconstruction PSNR of {} held-out cases: the ceiling",
                             evaluation.inputs.reconstruction_cases));
  } else {
    html += card("VQ-GAN alone", "–", "no vae/reconstruction.csv");
  }
  for (const ArmResult& arm : evaluation.scores.arms) {
    std::string note = fmt::format("{} studies, {} with PE", arm.labels.size(), arm.positives);
    if (arm.auc && arm.auc->interval)
      note = fmt::format("95% {:.2f} to {:.2f} (DeLong); ", arm.auc->interval->low,
                         arm.auc->interval->high) +
             note;
    html += card("AUC for PE, " + html_escaped(arm.title),
                 arm.auc ? number_text(arm.auc->auc, 3) : "–", note);
  }
  return html + "</div></section>\n";
}

const char* arrow(const std::string& better) {
  return better == "higher" ? "↑" : better == "lower" ? "↓" : better == "1" ? "→ 1" : "→ 0";
}

std::vector<std::string> metric_row(const MetricSummary& s) {
  const MetricName& name = metric_names[s.metric];
  const int digits = name.unit[0] ? 2 : 3;
  std::vector<std::string> row{
      fmt::format("{}<small> {} {}</small>", name.label, name.unit, arrow(name.better)),
      fmt::format("<small>{}</small>", name.protocol)};
  for (const Distribution& d : s.sources) {
    row.push_back(d.n == 0
                      ? "–"
                      : fmt::format("{}<small> [{}, {}]</small>", number_text(d.median, digits),
                                    number_text(d.q1, digits), number_text(d.q3, digits)));
  }
  for (int source : {source::wrong_cxr, source::mean_volume}) {
    const auto& t = s.tests[source];
    row.push_back(!t ? "–"
                     : fmt::format("{}<small> p {} (N {})</small>",
                                   number_text(t->wilcoxon.median_difference, digits),
                                   p_text(t->p_holm), t->wilcoxon.pairs));
  }
  return row;
}

std::string feature_table(const Evaluation& evaluation) {
  if (evaluation.features.empty()) return {};
  std::vector<std::vector<std::string>> rows;
  for (const FeatureMeasure& f : evaluation.features) {
    rows.push_back({f.label, fmt::format("<small>{}</small>", f.protocol),
                    fmt::format("{:.4g}", f.value), std::to_string(f.real),
                    std::to_string(f.generated)});
  }
  return "<h3>Distances between sets</h3>" +
         html_table({"", "Protocol", "Value", "Real pictures", "Generated pictures"}, rows, 2) +
         html_protocol(
             "Between all true and all generated volumes, by the features of the network "
             "given; the numbers depend on it and on the number of pictures.");
}

std::string memorisation_table(const Evaluation& evaluation) {
  if (evaluation.memorisation.empty()) return {};
  std::vector<std::vector<std::string>> rows;
  for (const Memorisation& m : evaluation.memorisation) {
    std::vector<double> generated, real;
    std::string names;
    int64_t copies = 0;
    for (const MemorisationCase& c : m.cases) {
      generated.push_back(c.generated);
      real.push_back(c.real);
      if (!c.suspicious) continue;
      if (++copies <= 5)
        names += fmt::format("{}{} ({})", copies > 1 ? ", " : "", c.case_id, c.nearest);
    }
    rows.push_back({m.space, number_text(median(generated), 3), number_text(median(real), 3),
                    m.test ? p_text(m.test->p) : "–",
                    fmt::format("{} of {}", copies, m.cases.size()), html_escaped(names)});
  }
  return "<h3>Memorisation</h3>" +
         html_table({"Space", "Generated to training", "Held-out real to training", "p",
                     "Suspicious", "Which (nearest)"},
                    rows) +
         html_protocol(
             "Protocol x2ctpa/1. Median distance to the nearest training volume: root mean "
             "square difference of volumes (HU) or latents, averaged to at most 32 values per "
             "axis; two-sided Wilcoxon signed-rank over cases. A model that copies puts its "
             "volumes nearer to training than unseen patients lie. Suspicious: less than "
             "half of the smallest distance of a held-out true volume.");
}

std::string image_section(const Evaluation& evaluation) {
  if (evaluation.images.metrics.empty()) {
    return "<section><h2>Image quality</h2><p>No generated volume could be compared with a true "
           "one.</p></section>\n";
  }
  std::vector<std::vector<std::string>> rows;
  for (const MetricSummary& s : evaluation.images.metrics) rows.push_back(metric_row(s));
  const auto& first = evaluation.images.metrics[0];
  std::string html = "<section><h2>Image quality</h2>\n";
  html += html_table({"", "Protocol", "Right CXR", "Another patient's CXR", "Mean training volume",
                      "Right − another's", "Right − mean"},
                     rows);
  html += html_protocol(fmt::format(
      "Protocols by row. Median [quartiles] over {} cases of split {}. {}. The last columns: "
      "median of the paired "
      "differences, two-sided Wilcoxon signed-rank p "
      "({}), Holm over all tests of this table. Another patient's CXR: a seeded derangement of the "
      "same samples (seed {}), never the same patient. "
      "Mean volume of {} training cases. SSIM: Gaussian sigma 1.5, 11 taps, 5 voxels of border "
      "left out; 2D is the mean over axial slices.",
      evaluation.images.cases.size(), html_escaped(evaluation.options.split),
      data_range_text(evaluation),
      first.tests[source::wrong_cxr] ? first.tests[source::wrong_cxr]->wilcoxon.method
                                     : "not available",
      evaluation.seed, evaluation.images.training_volumes));
  html +=
      "<div class=\"charts\"><div class=\"chart wide\"><h3>PSNR by case</h3><div "
      "class=\"canvas\"><canvas id=\"psnr\"></canvas></div></div>"
      "<div class=\"chart wide\"><h3>Gain of the right CXR in PSNR</h3><div "
      "class=\"canvas\"><canvas id=\"gain\"></canvas></div></div></div>\n";
  html += html_protocol(fmt::format(
      "Protocol paper/1. Left: each case once per series, cases from best to worst PSNR of the "
      "right CXR. Right: cases per paired difference. {}.",
      data_range_text(evaluation)));
  if (evaluation.images.diversity.cases > 0) {
    const Diversity& d = evaluation.images.diversity;
    html += fmt::format(
                "<h3>Diversity</h3><p>Two samples of one X-ray differ by {} HU (MAE) with an "
                "MS-SSIM of {}: median of {} cases with several samples.</p>",
                number_text(d.mae_hu.median, 1), number_text(d.ms_ssim.median, 3), d.cases) +
            html_protocol(
                "Protocol x2ctpa/1: mean over the pairs of the first four samples of a case, " +
                data_range_text(evaluation) + ".");
  }
  return html + feature_table(evaluation) + memorisation_table(evaluation) + "</section>\n";
}

std::string picture_section(const Evaluation& evaluation) {
  const std::string pictures = html_pictures(evaluation);
  if (pictures.empty()) return {};
  const auto& w = evaluation.inputs.window;
  const double half = 0.5 * (w.max_hu - w.min_hu);
  return fmt::format(
      "<section><h2>Cases</h2>\n{}<div class=\"scale\"><span>−{:g} HU</span><i></i><span>+{:g} "
      "HU</span></div>\n{}</section>\n",
      pictures, half, half,
      html_protocol(fmt::format(
          "Sliders move through the slices; grey from {:g} to {:g} HU; difference is generated − "
          "real. Axial: anterior up, the patient's right on "
          "the left. Coronal and sagittal: head up; sagittal: anterior on the "
          "left. MIP: maximum intensity projection. DRR: the X-ray that the volume would give, "
          "what the "
          "window cut off at its lower end taken as lung. Cases by rank of PSNR among {}. "
          "Generated volumes are synthetic.",
          w.min_hu, w.max_hu, evaluation.images.cases.size())));
}

std::string training_section(const nlohmann::json& data) {
  if (data["training"].empty()) return {};
  std::string html = "<section><h2>Training</h2><div class=\"charts\">";
  for (const auto& [stage, curve] : data["training"].items()) {
    html += fmt::format(
        "<div class=\"chart wide\"><h3>{}</h3><div class=\"canvas\"><canvas "
        "id=\"training-{}\"></canvas></div></div>",
        stage == "vae"               ? "Autoencoder"
        : stage == "diffusion"       ? "Diffusion"
        : stage == "classifier/ctpa" ? "Classifier, true CTPA"
        : stage == "classifier/cxr"  ? "Classifier, X-ray"
                                     : "Classifier, generated CTPA",
        stage);
  }
  return html + "</div>" +
         html_protocol(
             "Loss by training step, from metrics.jsonl of each stage; logarithmic axis. "
             "Classifiers: fold "
             "0 where there are folds.") +
         "</section>\n";
}

std::string problem_section(const Evaluation& evaluation) {
  std::map<std::string, std::vector<const Problem*>> kinds;
  for (const Problem& p : evaluation.problems) kinds[p.kind].push_back(&p);
  std::string html = "<section><h2>Remarks on the input</h2>";
  if (kinds.empty()) return html + "<p>None: every case was paired and read.</p></section>\n";
  std::vector<std::vector<std::string>> rows;
  for (const auto& [kind, problems] : kinds) {
    std::string text;
    for (size_t i = 0; i < problems.size() && i < 5; ++i) {
      text += fmt::format("{}<b>{}</b>: {}", i ? "<br>" : "", html_escaped(problems[i]->name),
                          html_escaped(problems[i]->detail));
    }
    if (problems.size() > 5)
      text += fmt::format("<br>and {} more in problems.csv", problems.size() - 5);
    rows.push_back({html_escaped(kind), std::to_string(problems.size()), text});
  }
  return html + html_table({"Kind", "Number", "What"}, rows, 99) + "</section>\n";
}

std::string provenance_section(const Evaluation& evaluation) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : evaluation.provenance)
    rows.push_back({html_escaped(name), fmt::format("<code>{}</code>", html_escaped(value))});
  const auto& pairs = evaluation.images.cases;
  if (!pairs.empty() && !pairs[0].pair.sampler.empty()) {
    const SamplePair& p = pairs[0].pair;
    rows.push_back({"sampler (first sample)",
                    html_escaped(fmt::format("{}, {} steps, guidance scale {}, seed {}", p.sampler,
                                             p.steps, p.guidance_scale, p.seed))});
  }
  return "<section><h2>Provenance</h2>" + html_table({"", ""}, rows, 99) + "</section>\n";
}

// JSON inside a script element must not end it.
std::string script_safe(std::string text) {
  for (size_t at = text.find("</"); at != std::string::npos; at = text.find("</", at + 3))
    text.replace(at, 2, "<\\/");
  return text;
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (i + k < bytes.size() ? uint8_t(bytes[i + k]) : 0);
    for (int k = 0; k < 4; ++k)
      out += i + size_t(k) > bytes.size() ? '=' : digits[word >> (18 - 6 * k) & 63];
  }
  return out;
}

std::string html_protocol(const std::string& text) {
  return fmt::format("<p class=\"protocol\">{}</p>\n", text);
}

std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows, size_t right_from) {
  const auto cells = [&](const std::vector<std::string>& row, const char* tag) {
    std::string html = "<tr>";
    for (size_t i = 0; i < row.size(); ++i)
      html += fmt::format("<{}{}>{}</{}>", tag, i >= right_from ? " class=\"n\"" : "", row[i], tag);
    return html + "</tr>";
  };
  std::string html = "<div class=\"table\"><table>";
  if (std::any_of(header.begin(), header.end(), [](const auto& h) { return !h.empty(); }))
    html += "<thead>" + cells(header, "th") + "</thead>";
  html += "<tbody>";
  for (const auto& row : rows) html += cells(row, "td");
  return html + "</tbody></table></div>\n";
}

std::string report_html(const Evaluation& evaluation) {
  const nlohmann::json data = chart_data(evaluation);
  const std::string title = html_escaped(evaluation.inputs.title);
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"><title>{} – x2ctpa "
      "evaluation</title><style>{}</style></head>\n<body>\n",
      title, report_css);
  html += fmt::format(
      "<header><div><p class=\"kind\">x2ctpa evaluation</p><h1>{}</h1></div><p "
      "class=\"warning\">Research use only, not for diagnosis. "
      "Generated volumes are synthetic.</p></header>\n<main>\n",
      title);
  html += summary_section(evaluation) + image_section(evaluation) + picture_section(evaluation) +
          html_scores(evaluation) + training_section(data) + problem_section(evaluation) +
          provenance_section(evaluation);
  html += fmt::format(
      "</main>\n<script type=\"application/json\" "
      "id=\"data\">{}</script>\n<script>{}</script>\n<script>{}</script>\n</body></html>\n",
      script_safe(data.dump()), chart_js, report_js);
  return html;
}

}  // namespace x2ctpa
