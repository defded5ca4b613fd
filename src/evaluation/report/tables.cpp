// Results as CSV, Markdown and LaTeX.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "evaluation/report/report_json.h"
#include "evaluation/steps.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/utf8.h"

namespace x2ctpa {
namespace {

// Empty for what was not measured.
std::string field(double value) {
  return std::isnan(value) ? std::string() : fmt::format("{:.10g}", value);
}

CsvTable per_case_table(const Evaluation& evaluation) {
  std::vector<std::string> columns{"case_id",   "patient_id", "wrong_case_id",
                                   "generated", "real",       "sampler",
                                   "steps",     "seed",       "guidance_scale"};
  for (const char* source : source_keys) {
    for (const MetricName& metric : metric_names)
      columns.push_back(fmt::format("{}_{}", source, metric.key));
  }
  columns.push_back(fmt::format("truth_{}", metric_names[metric::projection].key));
  CsvTable table(columns);
  for (const CaseResult& c : evaluation.images.cases) {
    std::vector<std::string> row{
        c.pair.case_id,       c.pair.patient_id, c.wrong_case_id, c.pair.generated.string(),
        c.pair.real.string(), c.pair.sampler,    c.pair.steps,    c.pair.seed,
        c.pair.guidance_scale};
    for (const auto& quality : c.quality) {
      for (int metric = 0; metric < metric::count; ++metric)
        row.push_back(quality ? field((*quality)[metric]) : "");
    }
    row.push_back(field(c.truth_projection));
    for (std::string& text : row) text = valid_utf8(text);  // names of files may be anything
    table.add(row);
  }
  return table;
}

void add_distribution(std::vector<std::string>& row, const Distribution& d) {
  for (double value : {d.mean, d.sd, d.median, d.q1, d.q3, d.min, d.max})
    row.push_back(field(value));
}

// The true volume's own projection, beside which the others stand.
std::vector<std::string> truth_row(const ImageEvaluation& images) {
  const MetricName& name = metric_names[metric::projection];
  std::vector<std::string> row{name.key, name.unit, name.protocol, "truth",
                               std::to_string(images.truth_projection.n)};
  add_distribution(row, images.truth_projection);
  row.insert(row.end(), 4, "");
  return row;
}

CsvTable image_table(const Evaluation& evaluation) {
  CsvTable table({"metric", "unit", "protocol", "compared", "n", "mean", "sd", "median", "q1", "q3",
                  "min", "max", "median_difference", "p", "p_holm", "test"});
  for (const MetricSummary& summary : evaluation.images.metrics) {
    for (int source = 0; source < source::count; ++source) {
      const Distribution& d = summary.sources[source];
      if (d.n == 0) continue;
      const MetricName& name = metric_names[summary.metric];
      std::vector<std::string> row{name.key, name.unit, name.protocol, source_keys[source],
                                   std::to_string(d.n)};
      add_distribution(row, d);
      const auto& test = summary.tests[source];
      if (test) {
        row.insert(row.end(), {field(test->wilcoxon.median_difference), field(test->wilcoxon.p),
                               field(test->p_holm), test->wilcoxon.method});
      } else {
        row.insert(row.end(), 4, "");
      }
      table.add(row);
    }
    if (summary.metric == metric::projection) table.add(truth_row(evaluation.images));
  }
  for (const FeatureMeasure& f : evaluation.features) {
    std::vector<std::string> row{f.key, "", f.protocol, "generated", std::to_string(f.generated)};
    row.push_back(field(f.value));
    row.resize(16);
    table.add(row);
  }
  return table;
}

std::string percent(const Proportion& p) {
  return std::isnan(p.value) ? "" : fmt::format("{:.2f}", 100 * p.value);
}

// The published layout: areas with their intervals, the rest in percent; every column but the first
// two holds numbers or nothing.
CsvTable paper_table(const Evaluation& evaluation) {
  const auto published = shown_published(evaluation.options);
  std::vector<std::string> columns{"arm",
                                   "source",
                                   "n",
                                   "positives",
                                   "auc",
                                   "auc_sd",
                                   "auc_delong_low",
                                   "auc_delong_high",
                                   "auc_bootstrap_low",
                                   "auc_bootstrap_high"};
  columns.insert(columns.end(), decision_keys.begin(), decision_keys.end());
  columns.emplace_back("threshold");
  if (!published.empty()) columns.insert(columns.end(), {"auc_printed_low", "auc_printed_high"});
  CsvTable table(columns);
  for (const ArmResult& arm : evaluation.scores.arms) {
    const auto bound = [](double value) {
      return std::isnan(value) ? std::string() : fmt::format("{:.4f}", value);
    };
    const Interval none{std::nan(""), std::nan("")};
    const Interval delong = arm.auc && arm.auc->interval ? *arm.auc->interval : none;
    const double spread = arm.bootstrap ? arm.bootstrap->standard_deviation : std::nan("");
    const Interval bootstrap = arm.bootstrap ? arm.bootstrap->interval : none;
    std::vector<std::string> row{arm.title,
                                 "this run",
                                 std::to_string(arm.labels.size()),
                                 std::to_string(arm.positives),
                                 arm.auc ? fmt::format("{:.4f}", arm.auc->auc) : "",
                                 bound(spread),
                                 bound(delong.low),
                                 bound(delong.high),
                                 bound(bootstrap.low),
                                 bound(bootstrap.high)};
    for (const Proportion& share : arm.decisions) row.push_back(percent(share));
    row.push_back(fmt::format("{:.6g}", arm.threshold));
    row.resize(columns.size());
    table.add(row);
  }
  for (const PublishedArm& p : published) {
    std::vector<std::string> row{p.title, p.source, "", "", p.auc, "", "", "", "", ""};
    row.insert(row.end(), p.decisions.begin(), p.decisions.end());
    row.insert(row.end(), {"", p.auc_low, p.auc_high});
    table.add(row);
  }
  return table;
}

// The published table: one row per arm and source, AUC with its interval, percent with two digits.
using Row = std::vector<std::string>;
const Row header{"Arm", "Source", "AUC ± SD [95% CI]", "Accuracy", "Specificity", "Sensitivity",
                 "PPV", "NPV"};

// Each arm above the paper's row of its name; those of arms that this evaluation lacks at the end.
std::vector<Row> paper_rows(const Evaluation& evaluation) {
  std::vector<Row> rows;
  std::vector<PublishedArm> left = shown_published(evaluation.options);
  const auto add_published = [&](const PublishedArm& p) {
    Row row{p.title, std::string(p.source).substr(std::string("X-ray2CTPA ").size()), p.auc_text()};
    row.insert(row.end(), p.decisions.begin(), p.decisions.end());
    rows.push_back(row);
  };
  for (const ArmResult& arm : evaluation.scores.arms) {
    std::string auc = arm.auc ? fmt::format("{:.3f}", arm.auc->auc) : "–";
    if (arm.bootstrap && !std::isnan(arm.bootstrap->standard_deviation))
      auc += fmt::format(" ± {:.3f}", arm.bootstrap->standard_deviation);
    if (arm.auc && arm.auc->interval)
      auc += fmt::format(" [{:.2f}-{:.2f}]", arm.auc->interval->low, arm.auc->interval->high);
    Row row{arm.title, "this run", auc};
    for (const Proportion& share : arm.decisions)
      row.push_back(std::isnan(share.value) ? "–" : percent(share));
    rows.push_back(row);
    std::vector<PublishedArm> others;
    for (const PublishedArm& p : left) {
      if (arm.name == p.name)
        add_published(p);
      else
        others.push_back(p);
    }
    left = others;
  }
  for (const PublishedArm& p : left) add_published(p);
  return rows;
}

std::string table_note(const Evaluation& evaluation) {
  std::string note =
      "Protocol x2ctpa/1. AUC: Mann-Whitney with DeLong's 95% interval on the logit scale. ";
  const auto& arms = evaluation.scores.arms;
  if (std::any_of(arms.begin(), arms.end(),
                  [](const ArmResult& arm) { return bool(arm.bootstrap); }))
    note += fmt::format("±: standard deviation of the area over {} of patients. ",
                        counted(evaluation.options.bootstrap, "bootstrap resample"));
  note += fmt::format("Accuracy to NPV in percent at {}. ", threshold_text(evaluation.scores));
  if (const std::string split = split_of(evaluation); !split.empty())
    note += fmt::format("Split {}, seed {}.", split, evaluation.seed);
  else
    note += fmt::format("Seed {}.", evaluation.seed);
  if (evaluation.options.published)
    note +=
        " Paper, journal: figures printed in X-ray2CTPA (arXiv 2406.16109; npj Digital Medicine "
        "2025), on its own test set.";
  return note;
}

std::string markdown_table(const Evaluation& evaluation) {
  std::string text;
  const auto add = [&](const Row& row) {
    for (const auto& cell : row) text += "| " + cell + " ";
    text += "|\n";
  };
  add(header);
  text += "|---|---|---|---:|---:|---:|---:|---:|\n";
  for (const Row& row : paper_rows(evaluation)) add(row);
  return text + "\n" + table_note(evaluation) + "\n";
}

std::string latex_escaped(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (std::string("&%$#_{}").find(c) != std::string::npos) out += '\\';
    out += c;
  }
  const auto replace_all = [&](const std::string& sign, const char* command) {
    for (size_t at = out.find(sign); at != std::string::npos; at = out.find(sign))
      out.replace(at, sign.size(), command);
  };
  replace_all("–", "--");
  replace_all("±", "$\\pm$");
  return out;
}

std::string latex_table(const Evaluation& evaluation) {
  std::string text =
      "% Needs the package booktabs.\n\\begin{table}\n\\centering\n"
      "\\begin{tabular}{lllrrrrr}\n\\toprule\n";
  const auto add = [&](const Row& row) {
    for (size_t i = 0; i < row.size(); ++i) text += (i ? " & " : "") + latex_escaped(row[i]);
    text += " \\\\\n";
  };
  add(header);
  text += "\\midrule\n";
  for (const Row& row : paper_rows(evaluation)) add(row);
  return text + "\\bottomrule\n\\end{tabular}\n\\caption{" + latex_escaped(table_note(evaluation)) +
         "}\n\\end{table}\n";
}

}  // namespace

void write_tables(const Evaluation& evaluation, const std::filesystem::path& folder) {
  per_case_table(evaluation).write(folder / "per_case.csv");
  image_table(evaluation).write(folder / "image_quality.csv");
  if (!evaluation.images.lesions.cases.empty())
    lesion_table(evaluation).write(folder / "lesions.csv");
  paper_table(evaluation).write(folder / "table.csv");
  write_file(folder / "table.md", markdown_table(evaluation));
  write_file(folder / "table.tex", latex_table(evaluation));
  CsvTable problems({"kind", "name", "detail", "failure"});
  for (const Problem& p : evaluation.problems)
    problems.add({p.kind, valid_utf8(p.name), valid_utf8(p.detail), p.failure ? "1" : "0"});
  problems.write(folder / "problems.csv");
}

}  // namespace x2ctpa
