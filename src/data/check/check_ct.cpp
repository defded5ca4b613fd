// The data doctor on one CT: its facts, its pictures, its series.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/check/check_parts.h"
#include "data/preprocess/judge_ct.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

at::Tensor grey(const at::Tensor& plane, const Volume& scan, bool hu) {
  if (hu) return ((plane + 1000) / 1600).clamp(0, 1);
  const auto sample = scan.hu.reshape({-1}).slice(0, 0, scan.hu.numel(),
                                                  std::max<int64_t>(1, scan.hu.numel() / 100000));
  const double low = sample.quantile(0.005).item<double>();
  const double high = sample.quantile(0.995).item<double>();
  return ((plane - low) / std::max(1e-9, high - low)).clamp(0, 1);
}

// Axial and coronal plane through the middle of the lungs, or of the scan.
void add_pictures(const PreparedCase& prepared, bool hu, StudyCheck& check) {
  const Volume& scan = *prepared.scan;
  int64_t d = scan.hu.size(0) / 2, h = scan.hu.size(1) / 2;
  if (prepared.lungs) {
    const Box& box = prepared.lungs->box;
    d = (box.first[0] + box.last[0]) / 2;
    h = (box.first[1] + box.last[1]) / 2;
  }
  check.pictures[0] =
      thumbnail(grey(scan.hu.select(0, d), scan, hu), {scan.spacing_mm[1], scan.spacing_mm[0]});
  check.pictures[1] = thumbnail(grey(scan.hu.select(1, h).flip(0), scan, hu),
                                {scan.spacing_mm[2], scan.spacing_mm[0]});
}

std::string voxel_hash(const at::Tensor& values) {
  // Rounded, so that one scan in two file formats has one hash.
  const auto whole = values.round().to(at::kInt).contiguous();
  const std::string_view bytes(reinterpret_cast<const char*>(whole.data_ptr<int>()),
                               size_t(whole.numel()) * sizeof(int));
  return sha256(fmt::format("{} {}", values.size(0), sha256(bytes)));
}

}  // namespace

void examine_ct(const PreparedCase& prepared, const PreprocessOptions& options, StudyCheck& check) {
  check.ct = judge_ct(prepared, options, check.study.id, check.findings);
  check.ct->hash = voxel_hash(prepared.scan->hu);
  add_pictures(prepared, options.modality == Modality::ct, check);
}

void examine_series(const Study& study, const SeriesRule& rule, StudyCheck& check) {
  if (study.ct.empty() || !fs::is_directory(study.ct)) return;
  const auto found = study.ct_series ? std::vector<DicomSeries>{*study.ct_series}
                                     : scan_dicom_folder(study.ct, rule.limits);
  for (const DicomSeries& series : found) {
    const std::string name =
        series.uid.empty() ? std::string("files without a series") : series_name(series);
    for (size_t i = 0; i < series.problems.size(); ++i) {
      const std::string note = i < series.notes.size() ? series.notes[i] : series.problems[i];
      check.findings.push_back({series.readable() ? Severity::warning : Severity::info,
                                series.problems[i], study.id, fmt::format("{}: {}", name, note)});
    }
    if (series.readable() || !series.problems.empty()) continue;
    check.findings.push_back({Severity::info, "series-passed-over", study.id,
                              fmt::format("{}: {}", name, series.reason)});
  }
}

}  // namespace x2ctpa
