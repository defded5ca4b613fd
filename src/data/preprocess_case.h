// One study on its way into the dataset, and what is remembered of it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/data/manifest.h"
#include "x2ctpa/data/preprocess.h"

namespace x2ctpa {

/// A study that cannot be used; the others go on.
class RejectedStudy : public Error {
 public:
  RejectedStudy(std::string reason_code, const std::string& reason)
      : Error(reason, ExitCode::partial), reason_code_(std::move(reason_code)) {}
  const std::string& reason_code() const { return reason_code_; }

 private:
  std::string reason_code_;
};

/// Runs one step; what goes wrong in it rejects the study under `reason_code`.
template <class Step>
auto run_step(const char* reason_code, const std::string& doing, Step step) {
  try {
    return step();
  } catch (const RejectedStudy&) {
    throw;
  } catch (const SeriesError& e) {
    throw RejectedStudy(e.reason_code(), e.what());
  } catch (const std::exception& e) {
    const Error error = translate_exception(e, doing);
    const bool memory = error.code() == ExitCode::out_of_memory;
    throw RejectedStudy(memory ? "out-of-memory" : reason_code, error.what());
  }
}

/// What is kept in records/<id>.json: provenance, and the numbers of the set's statistics.
struct CaseRecord {
  std::string id, ct_source, cxr_source;
  std::string mask_source;
  std::string ct, cxr;  ///< written files, relative to the dataset folder; empty: none
  bool cxr_rendered = false;  ///< the X-ray was made from the CT
  Vec3 spacing_mm{0, 0, 0};
  double lung_litres = 0;  ///< 0: not measured
  double cxr_mean = 0, cxr_mean_square = 0;
  std::vector<std::string> warnings;
  std::vector<std::string> ct_problems;  ///< codes of dicom_series.h
  std::vector<std::string> choices;      ///< series chosen and passed over, how the pair was found
};

/// Reads, checks, resamples and writes one study. Throws RejectedStudy for what is wrong with the
/// study, Error for what is wrong with the output folder. `seed`: of the noise of rendered X-rays.
CaseRecord preprocess_case(const Study& study, const PreprocessOptions& options, int64_t seed,
                           const std::filesystem::path& out);

/// Makes `out` ready for these options. Throws Error when it was made with others, unless `force`.
void claim_folder(const std::filesystem::path& out, const PreprocessOptions& options, int64_t seed,
                  bool force);

/// The record of `study` when an earlier call finished it from the same sources.
std::optional<CaseRecord> finished_case(const std::filesystem::path& out, const Study& study);

void write_record(const std::filesystem::path& out, const CaseRecord& record);

}  // namespace x2ctpa
