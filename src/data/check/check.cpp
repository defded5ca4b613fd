#include "x2ctpa/data/check/check.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <string>

#include "data/check/check_parts.h"
#include "data/preprocess/intensity.h"
#include "data/preprocess/threads.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

void add_rejection(const RejectedStudy& e, StudyCheck& check) {
  check.reason_code = e.reason_code();
  check.reason = e.what();
  check.findings.push_back(
      {Severity::error, e.reason_code(), check.study.id, std::string("rejected: ") + e.what()});
}

// What reading the volume, finding its lungs and joining two views said. What series and single
// X-rays say is added by those who look closer at them.
void add_record_warnings(const CaseRecord& record, StudyCheck& check) {
  for (const std::string& warning : record.warnings) {
    const auto colon = warning.find(": ");
    const std::string code = warning.substr(0, colon);
    static const std::set<std::string> kept = {
        "lungs-cut-off",       "unit-spacing",    "forms-differ", "forms-contradict",
        "orientation-assumed", "views-exchanged", "two-laterals", "two-frontals",
        "two-patients",        "view-unreadable", "not-lateral",  "faces-right",
        "looks-right"};
    const bool known = std::any_of(check.findings.begin(), check.findings.end(),
                                   [&](const Finding& finding) { return finding.code == code; });
    if (kept.contains(code) && !known)
      check.findings.push_back(
          {Severity::warning, code, check.study.id, warning.substr(colon + 2)});
  }
}

StudyCheck check_study(const Study& study, const PreprocessOptions& options) {
  StudyCheck check{study};
  check.pictures.resize(3);
  PreparedCase prepared;
  prepared.keep_scan = true;
  try {
    prepare_case(study, options, /*seed=*/0, prepared);
  } catch (const RejectedStudy& e) {
    add_rejection(e, check);
  } catch (const std::exception& e) {
    add_rejection({"failed", translate_exception(e, "preparing " + study.id).what()}, check);
  }
  try {
    examine_series(study, options.input.series, check);
    if (prepared.scan) examine_ct(prepared, options, check);
    add_record_warnings(prepared.record, check);
    if (!study.cxr.empty()) {
      const bool any_picture = options.source == PictureSource::picture;
      examine_cxr(read_radiograph(study.cxr, any_picture ? CxrInvert::never : options.cxr.invert),
                  options, check);
    } else if (prepared.record.cxr_rendered) {
      check.pictures[2] = thumbnail(prepared.cxr[0], {1, 1});
    }
  } catch (const std::exception& e) {
    // The study itself was read: what could not be measured must not hide the rest.
    log_debug("checking {}: {}", study.id, e.what());
  }
  return check;
}

}  // namespace

Severity StudyCheck::worst() const {
  Severity worst = Severity::info;
  for (const Finding& finding : findings) worst = std::max(worst, finding.severity);
  return worst;
}

int64_t CheckReport::usable() const {
  return std::count_if(studies.begin(), studies.end(), [](const auto& s) { return s.usable(); });
}

int64_t CheckReport::count(Severity severity) const {
  const auto of = [&](const std::vector<Finding>& list) {
    return std::count_if(list.begin(), list.end(),
                         [&](const Finding& f) { return f.severity == severity; });
  };
  int64_t total = of(findings);
  for (const StudyCheck& study : studies) total += of(study.findings);
  return total;
}

CheckReport check_studies(const std::vector<Study>& studies, const PreprocessOptions& given) {
  const PreprocessOptions options = with_preset(given);
  check_options(options);
  CheckReport report;
  report.studies.resize(studies.size());
  const auto count = int64_t(studies.size());
  Progress progress("checking", count);
  std::mutex mutex;
  const int64_t workers = options.workers > 0 ? options.workers : available_cores();
  for_each_parallel(count, workers, [&](int64_t i) {
    stop_if_interrupted();
    const auto n = size_t(i);
    report.studies[n] = check_study(studies[n], options);
    const std::lock_guard lock(mutex);
    progress.advance(1, studies[n].id);
  });
  progress.finish();
  report.findings = examine_set(report.studies, options);
  return report;
}

}  // namespace x2ctpa
