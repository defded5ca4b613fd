// One study on its way into the dataset, and what is remembered of it.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/data/preprocess/preprocess.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/imaging/volume/lungs.h"

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

/// The warning of lungs that are not whole.
inline constexpr const char* lungs_cut_off =
    "lungs-cut-off: the lungs touch the first or the last slice";

/// One X-ray of a case.
struct XrayRecord {
  std::string source, file;  ///< `file`: written, relative to the dataset folder; empty: none
  int64_t bytes = 0;
  double mean = 0, mean_square = 0;
};

/// What is kept in records/<id>.json: provenance, and the numbers of the set's statistics.
struct CaseRecord {
  std::string id, ct_source;
  std::array<XrayRecord, 2> xrays;  ///< by the number of the CxrView
  std::string mask_source;
  std::string masks;                          ///< masks_text() of the study
  std::map<std::string, int64_t> mask_bytes;  ///< of the masks written, by file
  std::string ct;  ///< the written file, relative to the dataset folder; empty: none
  int64_t ct_bytes = 0;
  bool cxr_rendered = false;  ///< the X-rays were made from the CT
  Vec3 spacing_mm{0, 0, 0};
  double lung_litres = 0;                ///< 0: not measured
  double low_value = 0, high_value = 0;  ///< the volume's percentiles; 0: not measured
  std::vector<std::string> warnings;     ///< "code: sentence"
  std::vector<std::string> ct_problems;  ///< codes of dicom_series.h
  std::vector<std::string> choices;      ///< series chosen and passed over, how the pair was found
};

/// The masks for evaluation that a study names, as one text.
std::string masks_text(const Study& study);

/// A study that was rejected, as in rejected.csv.
struct Rejection {
  std::string id, ct_source, cxr_source, lateral_source, mask_source, masks;
  std::string source, reason_code, reason;
};

/// A study in memory. Of a rejected one, what was made until then.
struct PreparedCase {
  CaseRecord record;
  std::optional<Volume> scan;     ///< as read, in the canonical axes; only where `keep_scan`
  std::optional<Lungs> lungs;     ///< on the grid of the scan
  std::optional<Volume> ct;       ///< on the dataset's grid
  std::array<at::Tensor, 2> cxr;  ///< (S, S), by the number of the CxrView
  bool keep_scan = false;
};

/// Reads, checks and resamples one study; writes nothing. `seed`: of the noise of rendered X-rays.
/// Throws RejectedStudy.
void prepare_case(const Study& study, const PreprocessOptions& options, int64_t seed,
                  PreparedCase& prepared);

/// prepare_case() and the files of the case. Throws RejectedStudy for what is wrong with the study,
/// Error for what is wrong with the output folder.
CaseRecord preprocess_case(const Study& study, const PreprocessOptions& options, int64_t seed,
                           const std::filesystem::path& out);

}  // namespace x2ctpa
