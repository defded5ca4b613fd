#include "x2ctpa/imaging/dicom/ct_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <map>
#include <tuple>

#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}

bool is_letter(const std::string& text, size_t at) {
  return at < text.size() && std::isalpha(static_cast<unsigned char>(text[at]));
}

// True when `text` holds `word`, both in lower case. Words of up to three letters must stand
// alone, so that "pe" is not found in "aspect"; longer ones must begin a word.
bool has_word(const std::string& text, const std::string& word) {
  if (word.empty()) return false;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    if (at > 0 && is_letter(text, at - 1)) continue;
    if (word.size() > 3 || !is_letter(text, at + word.size())) return true;
  }
  return false;
}

bool has_any(const std::string& text, const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return has_word(text, lower(word)); });
}

std::string words_of(const DicomSeries& s) {
  return lower(s.tags->description + " / " + s.tags->protocol);
}

double length_mm(const DicomSeries& s) { return s.spacing_mm[2] * double(s.size_dhw[0]); }

// 0: original, 1: derived but primary, 2: derived and secondary, or a projection or reformat.
int derived_rank(const DicomSeries& s) {
  const std::string type = lower(s.tags->image_type);
  for (const char* word : {"mip", "mpr", "reformat", "projection", "average"})
    if (type.find(word) != std::string::npos) return 2;
  if (!type.starts_with("derived")) return 0;
  return type.starts_with("derived\\primary") ? 1 : 2;
}

int word_rank(const DicomSeries& s, const SeriesRule& rule) {
  const std::string text = words_of(s);
  if (has_any(text, rule.avoid)) return 2;
  return has_any(text, rule.prefer) ? 0 : 1;
}

int contrast_rank(const DicomSeries& s) {
  static const std::vector<std::string> denied = {
      "without", "w/o", "non con", "non-con", "noncon", "native", "nativ", "unenhanced", "plain"};
  static const std::vector<std::string> said = {"contrast", "+c",       "c+",     "iodine",
                                                "enhanced", "arterial", "with iv"};
  const std::string agent = lower(s.tags->contrast), text = words_of(s);
  if (has_any(text, denied) || agent == "no" || agent == "none") return 2;
  return !agent.empty() || has_any(text, said) ? 0 : 1;
}

// One part of the rule: the smaller rank is better.
struct Criterion {
  std::function<double(const DicomSeries&)> rank;
  const char* better;  // what the better series is
};

std::map<std::string, Criterion> criteria(const SeriesRule& rule, double longest_mm) {
  return {
      {"coverage",
       {[=](const DicomSeries& s) { return length_mm(s) < 0.5 * longest_mm; },
        "covers more of the patient"}},
      {"original",
       {[](const DicomSeries& s) { return derived_rank(s); }, "is nearer to the original images"}},
      {"words",
       {[&rule](const DicomSeries& s) { return word_rank(s, rule); },
        "fits better by its description"}},
      {"contrast",
       {[](const DicomSeries& s) { return contrast_rank(s); }, "has signs of contrast"}},
      {"slices", {[](const DicomSeries& s) { return -double(s.files.size()); }, "has more slices"}},
      {"kernel",
       {[&rule](const DicomSeries& s) { return double(kernel_place(s.tags->kernel, rule)); },
        "has the preferred kernel"}},
      {"spacing",
       {[](const DicomSeries& s) { return s.spacing_mm[2]; }, "has the finer slice distance"}}};
}

// Why a series is no candidate; empty when it is one.
std::string misfit(const DicomSeries& s) {
  if (!s.reason.empty()) return s.reason;
  return s.axial() ? "" : "not axial";
}

// How near a series that does not fit came, for the reason code of the whole: CT before others,
// more slices before fewer.
const DicomSeries* nearest_misfit(const std::vector<DicomSeries>& series) {
  const auto rank = [](const DicomSeries& s) {
    return std::tuple(s.modality == "CT",
                      s.reason_code != "localizer" && s.reason_code != "secondary-capture",
                      s.files.size() + s.left_out.size());
  };
  const auto best =
      std::max_element(series.begin(), series.end(),
                       [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return best == series.end() ? nullptr : &*best;
}

}  // namespace

size_t kernel_place(const std::string& kernel, const SeriesRule& rule) {
  const std::string text = lower(kernel);
  const auto found = std::find_if(rule.kernels.begin(), rule.kernels.end(),
                                  [&](const std::string& k) { return text.starts_with(lower(k)); });
  return size_t(found - rule.kernels.begin());
}

void SeriesRule::check() const {
  const auto known = criteria(*this, 0);
  std::vector<std::string> names;
  for (const auto& [name, criterion] : known) names.push_back(name);
  for (const auto& name : order)
    if (!known.contains(name))
      throw Error(fmt::format("preprocess.series.order: '{}' is no criterion; expected some of {}",
                              name, fmt::join(names, ", ")));
}

void SeriesRule::describe(OptionList& options) {
  options.add("order", &order,
              "Criteria by which a study's readable axial CT series are compared; the first in "
              "which two differ decides.");
  options.add("prefer", &prefer, "Words in a series' description or protocol that speak for it.");
  options.add("avoid", &avoid, "Words that speak against it.");
  options.add("kernels", &kernels, "Beginnings of reconstruction kernels, the preferred first.");
  limits.describe(options);
}

std::string series_name(const DicomSeries& s) {
  const std::string text =
      s.tags->description.empty() ? "without description" : "'" + s.tags->description + "'";
  const std::string end = s.uid.size() > 6 ? "..." + s.uid.substr(s.uid.size() - 6) : s.uid;
  return fmt::format("series {} ({}, {} of {} x {}, uid {})", text,
                     s.modality.empty() ? "no modality" : s.modality,
                     counted(int64_t(s.files.size()), "slice"), s.slice_size_hw[1],
                     s.slice_size_hw[0], end.empty() ? "unknown" : end);
}

SeriesChoice choose_series(const std::vector<DicomSeries>& series, const SeriesRule& rule) {
  rule.check();
  SeriesChoice choice;
  std::vector<size_t> candidates;
  double longest_mm = 0;
  for (size_t i = 0; i < series.size(); ++i) {
    if (!misfit(series[i]).empty()) continue;
    candidates.push_back(i);
    longest_mm = std::max(longest_mm, length_mm(series[i]));
  }
  const auto known = criteria(rule, longest_mm);
  // The criterion in which `a` is better than `b`; null: in none before `b` is better.
  const auto better_in = [&](const DicomSeries& a, const DicomSeries& b) -> const Criterion* {
    for (const auto& name : rule.order) {
      const Criterion& criterion = known.at(name);
      const double x = criterion.rank(a), y = criterion.rank(b);
      if (std::abs(x - y) > 1e-6) return x < y ? &criterion : nullptr;
    }
    return nullptr;
  };
  for (size_t i : candidates) {
    if (!choice.index) choice.index = i;
    const DicomSeries& best = series[*choice.index];
    const bool tie = !better_in(series[i], best) && !better_in(best, series[i]);
    if (better_in(series[i], best) || (tie && series[i].uid < best.uid)) choice.index = i;
  }
  for (size_t i = 0; i < series.size(); ++i) {
    if (i == choice.index) continue;
    std::string why = misfit(series[i]);
    if (why.empty()) {
      const Criterion* criterion = better_in(series[*choice.index], series[i]);
      why = criterion ? fmt::format("the chosen one {}", criterion->better)
                      : "equal in all, later by its uid";
    }
    choice.passed_over.push_back(series_name(series[i]) + ": " + why);
  }
  if (!choice.index) {
    const DicomSeries* nearest = nearest_misfit(series);
    choice.reason = series.empty() ? "there are no DICOM images"
                                   : "no axial CT series that can be read as a volume";
    choice.reason_code = !nearest                       ? "no-ct-series"
                         : nearest->reason_code.empty() ? "not-axial"
                                                        : nearest->reason_code;
  } else if (candidates.size() == 1) {
    choice.reason = "the only readable axial CT series";
  } else {
    choice.reason = fmt::format("the best of {} readable axial CT series by {}", candidates.size(),
                                fmt::join(rule.order, ", then "));
  }
  return choice;
}

DicomSeries choose_ct_series(const std::vector<DicomSeries>& series,
                             const std::filesystem::path& folder, const SeriesRule& rule) {
  const SeriesChoice choice = choose_series(series, rule);
  if (!choice.index) {
    std::string text = fmt::format("{}: {}.", folder.string(), choice.reason);
    for (const auto& line : choice.passed_over) text += "\n  " + line;
    throw SeriesError(choice.reason_code, text, ExitCode::no_data);
  }
  DicomSeries chosen = series[*choice.index];
  // A file too damaged to tell its series may be a slice of this one.
  for (const auto& s : series)
    if (s.uid.empty() && s.reason_code == "unreadable-file")
      chosen.add_problem("unreadable-file", s.reason);
  if (series.size() > 1)
    log_info("{}: chose {}, {}; passed over:\n  {}", folder.string(), series_name(chosen),
             choice.reason, fmt::join(choice.passed_over, "\n  "));
  return chosen;
}

}  // namespace x2ctpa
