// What several samples of one X-ray say together: uncertainty.csv, ranking.csv and their volumes.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "inference/loaded_xrays.h"
#include "inference/sample_plan.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/inference/uncertainty.h"

namespace x2ctpa {

/// The X-rays with several samples whose summary is missing, older than these settings, or of
/// samples that are to be made; by their numbers.
std::set<size_t> unsummarised_xrays(const SampleContext& run, const SamplePlan& plan);

class SampleSpread {
 public:
  /// `scorer` may be null. All must outlive it.
  SampleSpread(const SampleContext& run, const DatasetInfo& info, LoadedXrays& xrays,
               PeScorer* scorer)
      : run_(run), info_(info), xrays_(xrays), scorer_(scorer) {}

  /// Summarises those of `xrays` whose samples are all there.
  void summarise(const std::vector<SampleItem>& own, const std::set<size_t>& xrays);

 private:
  struct Ranking {
    CsvTable rows{
        {"name", "xray", "case_id", "sample", "rank", "projection_similarity", "pe_score"}};
    std::string best;
    std::vector<double> pe;
  };

  void summarise_one(size_t index, const std::vector<const SampleItem*>& items);
  Ranking ranked(const std::vector<const SampleItem*>& items, const LoadedCxr& cxr);

  const SampleContext& run_;
  const DatasetInfo& info_;
  LoadedXrays& xrays_;
  PeScorer* scorer_;
};

}  // namespace x2ctpa
