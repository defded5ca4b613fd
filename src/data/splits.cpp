#include "x2ctpa/data/splits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {
namespace {

constexpr std::array<const char*, 3> kNames = {"train", "val", "test"};

struct Patient {
  std::string split;
  int label = -1;  ///< 1: a positive case; 0: negative cases; -1: no label known
};

size_t split_index(const Case& c) {
  const auto found = std::find(kNames.begin(), kNames.end(), c.split);
  if (found == kNames.end()) {
    throw Error(
        fmt::format("case {}: split must be train, val, test or empty, found '{}'", c.id, c.split));
  }
  return static_cast<size_t>(found - kNames.begin());
}

SplitFractions normalised(const SplitFractions& fractions) {
  const double sum = fractions[0] + fractions[1] + fractions[2];
  if (*std::min_element(fractions.begin(), fractions.end()) < 0 || !(sum > 0)) {
    throw Error(fmt::format("split fractions must not be negative or all zero, found {}",
                            fmt::join(fractions, ", ")));
  }
  return {fractions[0] / sum, fractions[1] / sum, fractions[2] / sum};
}

/// How far each split is behind its share of the patients dealt so far.
struct Dealer {
  const SplitFractions& fractions;
  std::array<double, 3> count{0, 0, 0};

  double deficit(size_t split) const {
    const double dealt = count[0] + count[1] + count[2];
    return fractions[split] * (dealt + 1) - count[split];
  }
};

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
    if (!c.split.empty()) patient.split = c.split;
    patient.label = std::max(patient.label, c.pe.value_or(-1));
  }

  const SplitFractions shares = normalised(fractions);
  Dealer whole{shares};
  for (const int label : {1, 0, -1}) {
    std::vector<Patient*> stratum;
    for (auto& [id, patient] : patients) {
      if (patient.split.empty() && patient.label == label) stratum.push_back(&patient);
    }
    const torch::Tensor order = torch::randperm(
        static_cast<int64_t>(stratum.size()), random_stream(seed, fmt::format("splits/{}", label)));
    Dealer within{shares};
    for (int64_t i = 0; i < order.numel(); ++i) {
      size_t best = 0;
      double best_deficit = -1e9;
      for (size_t s = 0; s < 3; ++s) {
        // The sum of both deficits keeps small strata from all starting with the largest split.
        const double deficit = within.deficit(s) + whole.deficit(s);
        if (shares[s] > 0 && deficit > best_deficit + 1e-9) {
          best = s;
          best_deficit = deficit;
        }
      }
      stratum[static_cast<size_t>(order[i].item<int64_t>())]->split = kNames[best];
      ++within.count[best];
      ++whole.count[best];
    }
  }
  for (Case& c : cases) c.split = patients[c.patient_id].split;
}

}  // namespace x2ctpa
