// The reader study: blinded pairs of a true and a generated volume, and what readers said of them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "evaluation/steps.h"
#include "evaluation/volume_comparison.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/core/version.h"
#include "x2ctpa/imaging/dicom/dicom_export.h"
#include "x2ctpa/metrics/rater_agreement.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// Scores from 1 (bad) to 5 (good), given to both volumes of a pair.
constexpr const char* questions[] = {"realism", "anatomy", "vessels", "agrees_with_cxr"};

const char* const instructions =
    "Blinded reading. Each folder pairNN holds two CT series, a and b, of one patient, and the "
    "chest\n"
    "X-ray where there is one. One series was acquired, the other was generated from the X-ray by "
    "a\n"
    "model, in random order. All files carry the same header, which says \"synthetic\" of both.\n\n"
    "Copy sheet.csv, write your initials in the column reader, and fill in each row:\n"
    "  <question>_a, <question>_b   1 (bad) to 5 (good), for\n"
    "    realism           does it look like an acquired CTPA?\n"
    "    anatomy           are organs complete and in place?\n"
    "    vessels           can the pulmonary arteries be judged?\n"
    "    agrees_with_cxr   does it fit the X-ray? (empty without one)\n"
    "  preferred           a, b, or none: which would you rather read?\n"
    "  generated           a or b: which one is generated?\n"
    "  comment             what you like\n\n"
    "Research use only, not for diagnosis.\n";

std::vector<std::string> sheet_columns() {
  std::vector<std::string> columns{"pair", "reader"};
  for (const char* question : questions) {
    columns.push_back(fmt::format("{}_a", question));
    columns.push_back(fmt::format("{}_b", question));
  }
  columns.insert(columns.end(), {"preferred", "generated", "comment"});
  return columns;
}

// Both volumes of a pair the same way: in the true one's place, within the window.
void write_blinded(const Volume& volume, const Volume& place, const EvaluationInputs& inputs,
                   const fs::path& folder, const std::string& name, int64_t seed) {
  Volume shown = place;
  shown.hu = volume.hu.clamp(inputs.window.min_hu, inputs.window.max_hu).round().contiguous();
  write_synthetic_series(shown, folder,
                         {.subject_id = name,
                          .derivation = "Blinded reader study: acquired or generated",
                          .version = version(),
                          .unique = fmt::format("reader-study/{}/{}", seed, name),
                          .window_centre_hu = 0.5 * (inputs.window.min_hu + inputs.window.max_hu),
                          .window_width_hu = inputs.window.max_hu - inputs.window.min_hu});
}

struct Reading {
  std::string pair, reader;
  std::map<std::string, int64_t> real, generated;  // by question
  std::string preferred;                           // "real", "generated" or "none"
  std::optional<bool> found;                       // whether the generated one was told
};

// The sheet's a and b by the key.
struct Key {
  std::map<std::string, std::string> generated;  // pair -> "a" or "b"
};

Key read_key(const fs::path& sheet, fs::path& file) {
  for (const fs::path& folder : {sheet.parent_path(), sheet.parent_path() / "..", fs::path(".")}) {
    file = folder / "key.csv";
    if (!fs::exists(file)) continue;
    const CsvTable table = CsvTable::read(file);
    table.require_columns({"pair", "a", "b"});
    Key key;
    for (size_t row = 0; row < table.size(); ++row)
      key.generated[table.at(row, "pair")] = table.at(row, "a") == "generated" ? "a" : "b";
    return key;
  }
  throw Error(fmt::format("--readings: there is no key.csv beside {} or in the folder above it",
                          sheet.string()),
              ExitCode::no_data);
}

int64_t score_of(const std::string& text, const std::string& where) {
  if (text.size() == 1 && text[0] >= '1' && text[0] <= '5') return text[0] - '0';
  throw Error(
      fmt::format("{}: expected a score from 1 to 5 or nothing, found \"{}\"", where, text));
}

Reading read_row(const CsvTable& table, size_t row, const Key& key, const std::string& file) {
  Reading reading{table.at(row, "pair"), table.at(row, "reader"), {}, {}, {}, {}};
  const std::string where = fmt::format("{}, {}", file, reading.pair);
  const auto found = key.generated.find(reading.pair);
  if (found == key.generated.end()) throw Error(where + ": the key has no such pair");
  if (reading.reader.empty()) throw Error(where + ": the column reader is empty");
  const std::string& made = found->second;
  const std::string own = made == "a" ? "b" : "a";
  for (const char* question : questions) {
    const std::string of_made = table.get(row, fmt::format("{}_{}", question, made)),
                      of_own = table.get(row, fmt::format("{}_{}", question, own));
    if (of_made.empty() || of_own.empty()) continue;
    reading.generated[question] = score_of(of_made, where);
    reading.real[question] = score_of(of_own, where);
  }
  const std::string preferred = table.get(row, "preferred"), told = table.get(row, "generated");
  if (!preferred.empty())
    reading.preferred = preferred == made ? "generated" : preferred == own ? "real" : "none";
  if (!told.empty()) reading.found = told == made;
  return reading;
}

std::vector<Reading> read_sheets(const std::vector<fs::path>& sheets, const Key& key) {
  std::vector<Reading> readings;
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& sheet : sheets) {
    const CsvTable table = CsvTable::read(sheet);
    table.require_columns({"pair", "reader", "preferred", "generated"});
    for (size_t row = 0; row < table.size(); ++row) {
      readings.push_back(read_row(table, row, key, sheet.string()));
      const Reading& r = readings.back();
      if (!seen.emplace(r.pair, r.reader).second) {
        throw Error(fmt::format("{}: {} rated {} twice", sheet.string(), r.reader, r.pair));
      }
    }
  }
  if (readings.empty()) throw Error("--readings: the sheets have no rows", ExitCode::no_data);
  return readings;
}

// Categories that each reader gave each pair, where all readers gave one.
using Ratings = std::map<std::string, std::map<std::string, int64_t>>;  // pair -> reader -> value

void add_agreement(CsvTable& table, const std::string& what, const Ratings& ratings,
                   const std::vector<std::string>& readers, bool ordered) {
  std::vector<std::vector<int64_t>> complete;
  for (const auto& [pair, by_reader] : ratings) {
    if (by_reader.size() != readers.size()) continue;
    complete.emplace_back();
    for (const auto& reader : readers) complete.back().push_back(by_reader.at(reader));
  }
  if (readers.size() < 2 || complete.empty()) return;
  const auto add = [&](const std::string& name, double kappa) {
    table.add({what, name, std::isnan(kappa) ? "" : fmt::format("{:.4f}", kappa),
               std::to_string(complete.size()), "", ""});
  };
  for (size_t i = 0; i < readers.size(); ++i) {
    for (size_t j = i + 1; j < readers.size(); ++j) {
      std::vector<int64_t> a, b;
      for (const auto& row : complete) {
        a.push_back(row[i]);
        b.push_back(row[j]);
      }
      add(fmt::format("Cohen's kappa{}, {} and {}", ordered ? ", quadratic" : "", readers[i],
                      readers[j]),
          cohen_kappa(a, b, ordered));
    }
  }
  add("Fleiss' kappa", fleiss_kappa(complete));
}

void add_question(CsvTable& table, const std::string& question,
                  const std::vector<Reading>& readings, const std::vector<std::string>& readers) {
  std::vector<double> real, generated;
  Ratings of_generated;
  for (const Reading& r : readings) {
    if (r.real.count(question) == 0) continue;
    real.push_back(double(r.real.at(question)));
    generated.push_back(double(r.generated.at(question)));
    of_generated[r.pair + "/generated"][r.reader] = r.generated.at(question);
    of_generated[r.pair + "/real"][r.reader] = r.real.at(question);
  }
  if (real.empty()) return;
  const auto mean = [](const std::vector<double>& v) { return distribution_of(v); };
  const Distribution a = mean(real), b = mean(generated);
  const auto add = [&](const char* name, const Distribution& d) {
    table.add({question, name, fmt::format("{:.4f}", d.mean), std::to_string(d.n), "", ""});
  };
  add("mean score, real", a);
  add("mean score, generated", b);
  const WilcoxonResult w = paired_test(generated, real);
  table.add({question, "Wilcoxon signed-rank p, generated - real",
             std::isnan(w.p) ? "" : fmt::format("{:.4g}", w.p), std::to_string(w.pairs), "", ""});
  add_agreement(table, question, of_generated, readers, true);
}

void add_share(CsvTable& table, const std::string& what, const std::string& name, int64_t count,
               int64_t total) {
  if (total == 0) return;
  const Proportion p = wilson_proportion(count, total);
  table.add({what, name, fmt::format("{:.4f}", p.value), std::to_string(total),
             fmt::format("{:.4f}", p.interval.low), fmt::format("{:.4f}", p.interval.high)});
}

void add_choices(CsvTable& table, const std::vector<Reading>& readings,
                 const std::vector<std::string>& readers) {
  std::map<std::string, int64_t> preferred;
  int64_t preferences = 0, told = 0, right = 0;
  Ratings choices, verdicts;
  for (const Reading& r : readings) {
    if (!r.preferred.empty()) {
      ++preferred[r.preferred];
      ++preferences;
      choices[r.pair][r.reader] = r.preferred == "real" ? 0 : r.preferred == "generated" ? 1 : 2;
    }
    if (r.found) {
      ++told;
      right += *r.found;
      verdicts[r.pair][r.reader] = *r.found;
    }
  }
  for (const char* choice : {"real", "generated", "none"})
    add_share(table, "preferred", choice, preferred[choice], preferences);
  add_agreement(table, "preferred", choices, readers, false);
  add_share(table, "generated", "told rightly", right, told);
  add_agreement(table, "generated", verdicts, readers, false);
}

}  // namespace

ExitCode write_reader_study(const EvaluationInputs& inputs, int64_t cases, int64_t seed,
                            const fs::path& folder) {
  if (inputs.pairs.empty())
    throw Error("--reader-study: there is no pair of a true and a generated volume",
                ExitCode::no_data);
  std::vector<size_t> order(inputs.pairs.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto key_of = [&](size_t i) {
    return stream_seed(seed, "reader-study/" + inputs.pairs[i].case_id);
  };
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return key_of(i) < key_of(j); });
  order.resize(std::min(order.size(), size_t(cases)));
  CsvTable key({"pair", "case_id", "a", "b"}), sheet(sheet_columns());
  for (size_t k = 0; k < order.size(); ++k) {
    const SamplePair& pair = inputs.pairs[order[k]];
    const std::string name = fmt::format("pair{:02}", k + 1);
    const bool generated_first = stream_seed(seed, "reader-study/order/" + pair.case_id) >> 63;
    const Volume truth = read_oriented(pair.real), made = read_oriented(pair.generated);
    check_volume(truth, inputs, "true volume");
    check_volume(made, inputs, "generated volume");
    if (made.hu.sizes() != truth.hu.sizes())
      throw Error(
          fmt::format("--reader-study: {} has another grid than its true volume", pair.case_id));
    const fs::path out = folder / "for-readers" / name;
    write_blinded(generated_first ? made : truth, truth, inputs, out / "a", name + "a", seed);
    write_blinded(generated_first ? truth : made, truth, inputs, out / "b", name + "b", seed);
    if (file_ending(pair.cxr) == ".png") write_file(out / "cxr.png", read_file(pair.cxr));
    key.add({name, pair.case_id, generated_first ? "generated" : "real",
             generated_first ? "real" : "generated"});
    std::vector<std::string> row{name};
    row.resize(sheet.columns().size());
    sheet.add(row);
  }
  sheet.write(folder / "for-readers" / "sheet.csv");
  write_file(folder / "for-readers" / "README.txt", instructions);
  key.write(folder / "key.csv");
  std::cout << fmt::format("{} blinded pairs in {}\nkey, not for readers: {}\n", order.size(),
                           (folder / "for-readers").string(), (folder / "key.csv").string());
  return ExitCode::ok;
}

ExitCode analyse_readings(const std::vector<fs::path>& sheets, const fs::path& out) {
  fs::path key_file;
  const Key key = read_key(sheets.at(0), key_file);
  const std::vector<Reading> readings = read_sheets(sheets, key);
  std::set<std::string> names;
  for (const Reading& r : readings) names.insert(r.reader);
  const std::vector<std::string> readers(names.begin(), names.end());
  CsvTable table({"question", "number", "value", "n", "low", "high"});
  for (const char* question : questions) add_question(table, question, readings, readers);
  add_choices(table, readings, readers);
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string low = table.at(row, "low");
    std::cout << fmt::format(
        "{:<18}{:<44}{:>9}{}  (n {})\n", table.at(row, "question"), table.at(row, "number"),
        table.at(row, "value"),
        low.empty() ? "" : fmt::format(" [{}, {}]", low, table.at(row, "high")),
        table.at(row, "n"));
  }
  table.write((out.empty() ? key_file.parent_path() : out) / "results.csv");
  return ExitCode::ok;
}

}  // namespace x2ctpa
