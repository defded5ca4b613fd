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

/// What is kept in records/<id>.json: provenance, and the numbers of the set's statistics.
struct CaseRecord {
  std::string id, ct_source, cxr_source;
  std::string ct, cxr;  ///< written files, relative to the dataset folder; empty: none
  Vec3 spacing_mm{0, 0, 0};
  double lung_litres = 0;  ///< 0: not measured
  double cxr_mean = 0, cxr_mean_square = 0;
  std::vector<std::string> warnings;
};

/// Reads, checks, resamples and writes one study. Throws RejectedStudy for what is wrong with the
/// study, Error for what is wrong with the output folder.
CaseRecord preprocess_case(const Study& study, const PreprocessOptions& options,
                           const std::filesystem::path& out);

/// Makes `out` ready for these options. Throws Error when it was made with others, unless `force`.
void claim_folder(const std::filesystem::path& out, const PreprocessOptions& options, int64_t seed,
                  bool force);

/// The record of `study` when an earlier call finished it from the same sources.
std::optional<CaseRecord> finished_case(const std::filesystem::path& out, const Study& study);

void write_record(const std::filesystem::path& out, const CaseRecord& record);

}  // namespace x2ctpa
