// What earlier calls and other processes left in the dataset folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/preprocess/preprocess_case.h"

namespace x2ctpa {

/// The dataset folder during one call.
class FolderState {
 public:
  FolderState(std::filesystem::path out, const PreprocessOptions& options, int64_t seed);

  /// Makes the folder ready for the options; a forced call forgets what was done for `mine`.
  /// Throws Error when the folder was made with others, unless the call allows it.
  void claim(const PreprocessCall& call, const std::vector<const Study*>& mine) const;

  /// The record of `study` when it was finished from the same sources with the same options.
  std::optional<CaseRecord> finished(const Study& study) const;
  /// The same for a study that was rejected.
  std::optional<Rejection> rejected(const Study& study) const;

  void write(const CaseRecord& record) const;
  void write(const Rejection& rejection) const;

  const std::filesystem::path& out() const { return out_; }

 private:
  std::filesystem::path record_file(const std::string& id) const;
  std::filesystem::path rejection_file(const std::string& id) const;

  std::filesystem::path out_;
  PreprocessOptions options_;
  int64_t seed_;
  std::string made_by_;  ///< names the options that a case depends on
};

/// Splits, statistics, splits.csv, rejected.csv, index.csv and dataset.json of what is done.
/// Throws Error(no_data) when that is nothing.
struct FinishedStudy {
  const Study* study = nullptr;
  CaseRecord record;
};
DatasetInfo write_index(const std::filesystem::path& out, const PreprocessOptions& options,
                        int64_t seed, const std::vector<FinishedStudy>& finished,
                        const std::vector<Rejection>& rejections);

}  // namespace x2ctpa
