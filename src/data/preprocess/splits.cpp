#include "x2ctpa/data/preprocess/splits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/core/utf8.h"

namespace x2ctpa {
namespace {

constexpr std::array<const char*, 3> split_names = {"train", "val", "test"};

struct Patient {
  std::optional<size_t> part;
  int label = -1;  // 1: a positive case; 0: negative cases; -1: no label known
};

size_t split_index(const Case& c) {
  const auto found = std::find(split_names.begin(), split_names.end(), c.split);
  if (found == split_names.end()) {
    throw Error(
        fmt::format("case {}: split must be train, val, test or empty, found '{}'", c.id, c.split));
  }
  return size_t(found - split_names.begin());
}

SplitFractions normalised(const SplitFractions& fractions) {
  const double sum = fractions[0] + fractions[1] + fractions[2];
  if (*std::min_element(fractions.begin(), fractions.end()) < 0 || !(sum > 0)) {
    throw Error(fmt::format("split fractions must not be negative or all zero, found {}",
                            fmt::join(fractions, ", ")));
  }
  return {fractions[0] / sum, fractions[1] / sum, fractions[2] / sum};
}

// How far each part is behind its share of the patients dealt so far.
struct Dealer {
  const std::vector<double>& shares;
  std::vector<double> count = std::vector<double>(shares.size(), 0.0);

  double deficit(size_t part) const {
    double dealt = 0;
    for (const double c : count) dealt += c;
    return shares[part] * (dealt + 1) - count[part];
  }
};

// Gives each of `patients` that has none a part, within strata of equal label.
void deal(std::map<std::string, Patient>& patients, const std::vector<double>& shares, int64_t seed,
          const std::string& stream) {
  Dealer whole{shares};
  for (const int label : {1, 0, -1}) {
    std::vector<Patient*> stratum;
    for (auto& [id, patient] : patients) {
      if (!patient.part && patient.label == label) stratum.push_back(&patient);
    }
    const at::Tensor order = torch::randperm(
        int64_t(stratum.size()), random_stream(seed, fmt::format("{}/{}", stream, label)));
    Dealer within{shares};
    for (int64_t i = 0; i < order.numel(); ++i) {
      size_t best = 0;
      double best_deficit = -1e9;
      for (size_t part = 0; part < shares.size(); ++part) {
        // The sum of both deficits keeps small strata from all starting with the largest part.
        const double deficit = within.deficit(part) + whole.deficit(part);
        if (shares[part] > 0 && deficit > best_deficit + 1e-9) {
          best = part;
          best_deficit = deficit;
        }
      }
      stratum[size_t(order[i].item<int64_t>())]->part = best;
      ++within.count[best];
      ++whole.count[best];
    }
  }
}

std::string list_text(const std::vector<std::string>& names) {
  constexpr size_t shown = 5;
  const std::vector<std::string> first(
      names.begin(), names.begin() + std::ptrdiff_t(std::min(shown, names.size())));
  return fmt::format("{}{}", fmt::join(first, ", "),
                     names.size() > shown ? fmt::format(" and {} more", names.size() - shown) : "");
}

// The first row of each patient; throws when another of the patient's rows differs from it.
void check_rows(const std::vector<SplitRow>& rows, const std::string& file) {
  std::map<std::string, const SplitRow*> first_of_patient;
  std::set<std::string> ids;
  for (const SplitRow& row : rows) {
    if (!row.id.empty() && !ids.insert(row.id).second)
      throw Error(fmt::format("{}: the id {} is listed twice", file, row.id));
    if (row.patient_id.empty()) continue;
    const SplitRow& first = *first_of_patient.emplace(row.patient_id, &row).first->second;
    if (first.split != row.split || first.fold != row.fold) {
      const auto part = [](const SplitRow& r) {
        return r.fold ? fmt::format("{} (fold {})", r.split, *r.fold) : r.split;
      };
      throw Error(
          fmt::format("{}: patient {} is in two splits: {} and {}; put all cases of a "
                      "patient into one",
                      file, row.patient_id, part(first), part(row)));
    }
  }
}

// Gives each case the split of its row: that of its id, else of its patient. Returns the ids of the
// cases without one.
std::vector<std::string> give_splits(const std::vector<SplitRow>& rows, std::vector<Case>& cases) {
  std::map<std::string, const SplitRow*> by_id, by_patient;
  for (const SplitRow& row : rows) {
    if (!row.id.empty()) by_id[row.id] = &row;
    if (!row.patient_id.empty()) by_patient[row.patient_id] = &row;
  }
  std::vector<std::string> without;
  for (Case& c : cases) {
    auto found = by_id.find(c.id);
    if (found == by_id.end()) {
      found = by_patient.find(c.patient_id);
      if (found == by_patient.end()) {
        without.push_back(c.id);
        continue;
      }
    }
    c.split = found->second->split;
    c.fold = found->second->fold;
  }
  return without;
}

}  // namespace

void assign_splits(std::vector<Case>& cases, const SplitFractions& fractions, int64_t seed) {
  std::vector<Case> given;
  for (const Case& c : cases) {
    if (c.split.empty()) continue;
    split_index(c);
    given.push_back(c);
  }
  check_no_leakage(given);

  std::map<std::string, Patient> patients;  // sorted, so the order of the input does not matter
  for (const Case& c : cases) {
    Patient& patient = patients[c.patient_id];
    if (!c.split.empty()) patient.part = split_index(c);
    patient.label = std::max(patient.label, c.pe.value_or(-1));
  }
  const SplitFractions shares = normalised(fractions);
  deal(patients, {shares.begin(), shares.end()}, seed, "splits");
  for (Case& c : cases) c.split = split_names[*patients[c.patient_id].part];
}

void assign_folds(std::vector<Case>& cases, int64_t folds, int64_t seed) {
  if (folds < 2)
    throw Error(fmt::format("cross-validation needs at least 2 folds, found {}", folds));
  std::map<std::string, Patient> patients;
  for (const Case& c : cases) {
    if (c.split == "test") continue;
    Patient& patient = patients[c.patient_id];
    if (c.fold && *c.fold >= folds) {
      throw Error(fmt::format("case {}: is given fold {}, but there are {} folds, from 0", c.id,
                              *c.fold, folds));
    }
    if (c.fold) patient.part = size_t(*c.fold);
    patient.label = std::max(patient.label, c.pe.value_or(-1));
  }
  if (int64_t(patients.size()) < folds) {
    throw Error(fmt::format("{} folds need as many patients outside the test set, found {}; fewer "
                            "folds (preprocess.folds) or more studies",
                            folds, patients.size()),
                ExitCode::no_data);
  }
  deal(patients, std::vector<double>(size_t(folds), 1.0 / double(folds)), seed, "folds");
  for (Case& c : cases) {
    if (c.split == "test") continue;
    c.fold = int64_t(*patients[c.patient_id].part);
    c.split = c.fold == 0 ? "val" : "train";
  }
}

std::vector<SplitRow> read_splits(const std::filesystem::path& file) {
  CsvTable table = CsvTable::read(file);
  table.match_columns({"id", "patient_id", "split", "fold"});
  const std::string name = file.string();
  table.require_columns({"split"});
  if (!table.has_column("id") && !table.has_column("patient_id"))
    table.require_columns({"id", "patient_id"});
  std::vector<SplitRow> rows;
  for (size_t i = 0; i < table.size(); ++i) {
    SplitRow row{table.get(i, "id"), valid_utf8(table.get(i, "patient_id")), table.at(i, "split"),
                 parse_fold(table.get(i, "fold"), fmt::format("{}: row {}", name, i + 1))};
    if (row.id.empty() && row.patient_id.empty())
      throw Error(fmt::format("{}: row {}: neither id nor patient_id is given", name, i + 1));
    if (std::find(split_names.begin(), split_names.end(), row.split) == split_names.end()) {
      throw Error(fmt::format("{}: row {}: split must be train, val or test, found '{}'", name,
                              i + 1, row.split));
    }
    rows.push_back(std::move(row));
  }
  check_rows(rows, name);
  return rows;
}

void check_given_splits(const std::vector<SplitRow>& rows, std::vector<Case> cases) {
  give_splits(rows, cases);
  std::erase_if(cases, [](const Case& c) { return c.split.empty(); });
  check_no_leakage(cases);
}

void apply_splits(const std::vector<SplitRow>& rows, const std::string& source,
                  std::vector<Case>& cases) {
  const std::vector<std::string> without = give_splits(rows, cases);
  if (!without.empty()) {
    throw Error(
        fmt::format("{} gives no split for {} of {} cases: {}; add them by id or by "
                    "patient_id",
                    source, without.size(), cases.size(), list_text(without)));
  }
  check_no_leakage(cases);
}

void write_splits(const std::vector<Case>& cases, const std::filesystem::path& file) {
  CsvTable table({"id", "patient_id", "split", "fold"});
  for (const Case& c : cases)
    table.add({c.id, c.patient_id, c.split, c.fold ? std::to_string(*c.fold) : ""});
  table.write(file);
}

}  // namespace x2ctpa
