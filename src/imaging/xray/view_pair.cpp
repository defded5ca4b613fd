#include "x2ctpa/imaging/xray/view_pair.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <exception>
#include <utility>

#include "imaging/dicom/dicom_slice.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

std::optional<CxrView> view_of_word(const std::string& word) {
  if (word == "lateral" || word == "lat" || word == "ll" || word == "rl") return CxrView::lateral;
  if (word == "frontal" || word == "front" || word == "pa" || word == "ap") return CxrView::frontal;
  return std::nullopt;
}

// Runs of letters in lower case, and what stands between them.
std::vector<std::string> words_of_name(const fs::path& file) {
  const bool known = is_picture_file(file) || is_dicom_named(file);
  std::vector<std::string> parts;
  bool letters = false;
  for (const unsigned char c : known ? file_stem(file) : file.filename().string()) {
    const bool letter = std::isalpha(c) != 0;
    if (parts.empty() || letter != letters) parts.emplace_back();
    parts.back() += char(std::tolower(c));
    letters = letter;
  }
  return parts;
}

bool is_dicom(const fs::path& file) { return is_dicom_named(file) || is_dicom_image(file); }

std::string patient_of_file(const fs::path& file) {
  try {
    return is_dicom(file) ? read_dicom_tags(file).patient_id : "";
  } catch (const std::exception&) {
    return "";  // its own reader says it better
  }
}

// One X-ray in the place it was given, and what is wrong with that.
struct Placed {
  std::optional<ModelXray> xray;
  std::exception_ptr error;
  bool misplaced = false;
};

class PairReading {
 public:
  PairReading(ViewFiles files, int64_t size, const CxrOptions& options)
      : files_(std::move(files)), size_(size), options_(options) {}

  ViewPair read() {
    leave_out_other_patient();
    for (const int v : {0, 1}) placed_[v] = load(v);
    exchange();
    ViewPair pair;
    for (const int v : {0, 1}) {
      const char* name = v == 0 ? "frontal" : "lateral";
      if (placed_[v].error) add_unreadable(v, name);
      if (!placed_[v].xray) continue;
      pair.xrays[v] = std::move(*placed_[v].xray);
      pair.files[v] = files_[v];
      for (size_t i = 0; i < pair.xrays[v].codes.size(); ++i)
        say(pair.xrays[v].codes[i],
            v == 0 ? pair.xrays[v].warnings[i] : "lateral view: " + pair.xrays[v].warnings[i]);
    }
    pair.codes = std::move(codes_);
    pair.warnings = std::move(warnings_);
    return pair;
  }

 private:
  void say(const std::string& code, const std::string& what) {
    codes_.push_back(code);
    warnings_.push_back(what);
  }

  // A doubt about the pair; refused where the user wants that.
  void doubt(const std::string& code, const std::string& what) {
    if (options_.refuse_not_chest)
      throw RefusedXray("cxr-views",
                        fmt::format("{}, {}: {}. Give the right files, or accept it with "
                                    "--preprocess.cxr.refuse_not_chest false.",
                                    files_[0].string(), files_[1].string(), what));
    say(code, what);
  }

  void leave_out_other_patient() {
    if (files_[0].empty() || files_[1].empty()) return;
    const std::string one = patient_of_file(files_[0]), other = patient_of_file(files_[1]);
    if (one.empty() || other.empty() || one == other) return;
    doubt("two-patients",
          "the headers of the two views name two patients; the lateral one is left out");
    files_[1].clear();
  }

  // A wrong view is for exchange() to judge, not a reason for refusal.
  Placed load(int v) const {
    Placed placed;
    if (files_[v].empty()) return placed;
    try {
      placed.xray = load_model_xray(files_[v], size_, options_, CxrView(v));
      placed.misplaced = placed.xray->view == (v == 0 ? "lateral" : "frontal");
    } catch (const RefusedXray& e) {
      placed.misplaced = e.reason_code() == "cxr-lateral";
      placed.error = std::current_exception();
    } catch (const Error&) {
      placed.error = std::current_exception();
    }
    return placed;
  }

  void exchange() {
    const bool wrong_front = placed_[0].misplaced, wrong_side = placed_[1].misplaced;
    if (!wrong_front && !wrong_side) return;
    const bool front = !files_[0].empty(), side = !files_[1].empty();
    if (wrong_front && !wrong_side && side) {
      doubt("two-laterals", "both X-rays are lateral views; the one given as frontal is left out");
      placed_[0] = {};
      return;
    }
    if (wrong_side && !wrong_front && front) {
      doubt("two-frontals", "both X-rays are frontal views; the one given as lateral is left out");
      placed_[1] = {};
      return;
    }
    if (wrong_front && wrong_side)
      doubt("views-exchanged", "the frontal and the lateral view were given as each other");
    else if (wrong_front)
      doubt("lateral", "a lateral view was given as the frontal one; it is taken as what it is");
    else
      doubt("not-lateral",
            "a frontal view was given as the lateral one; it is taken as what it is");
    std::swap(files_[0], files_[1]);
    for (const int v : {0, 1}) placed_[v] = load(v);
  }

  void add_unreadable(int v, const char* name) {
    if (!placed_[1 - v].xray) std::rethrow_exception(placed_[v].error);
    try {
      std::rethrow_exception(placed_[v].error);
    } catch (const std::exception& e) {
      say("view-unreadable", fmt::format("the {} view is left out: {}", name, e.what()));
    }
  }

  ViewFiles files_;
  int64_t size_;
  const CxrOptions& options_;
  std::array<Placed, 2> placed_;
  std::vector<std::string> codes_, warnings_;
};

}  // namespace

std::optional<CxrView> view_in_name(const fs::path& file) {
  std::optional<CxrView> found;
  for (const auto& word : words_of_name(file))
    if (const auto view = view_of_word(word)) found = view;
  return found;
}

std::string name_without_view(const fs::path& file) {
  std::string name;
  for (const auto& word : words_of_name(file))
    if (!view_of_word(word)) name += word;
  name.erase(std::unique(name.begin(), name.end(),
                         [](char a, char b) { return a == b && (a == '_' || a == '-'); }),
             name.end());
  while (!name.empty() && !std::isalnum(static_cast<unsigned char>(name.back()))) name.pop_back();
  return name;
}

std::optional<CxrView> view_of_file(const fs::path& file) {
  try {
    if (is_dicom(file)) {
      if (const auto view = view_of_position(read_dicom_tags(file).view_position)) return view;
    }
  } catch (const Error&) {
    return std::nullopt;  // its own reader says it better
  }
  return view_in_name(file);
}

at::Tensor ViewPair::pictures(int64_t size) const {
  std::vector<at::Tensor> both;
  for (const auto& xray : xrays)
    both.push_back(xray.picture.defined() ? xray.picture.unsqueeze(0) : missing_view(size));
  return torch::cat(both);
}

ViewPair load_view_pair(const ViewFiles& files, int64_t size, const CxrOptions& options) {
  return PairReading(files, size, options).read();
}

}  // namespace x2ctpa
