// The X-rays of a run of `sample`, each read once while it is needed.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>

#include "inference/load_cxr.h"
#include "inference/sample_context.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/inference/ctpa_generator.h"

namespace x2ctpa {

class LoadedXrays {
 public:
  /// Both must outlive it.
  LoadedXrays(const SampleContext& run, CtpaGenerator& generator)
      : run_(run), generator_(generator) {}

  /// X-ray number `xray` of the job, with its place; null, and a row in failures.csv, when it
  /// cannot be read.
  const LoadedCxr* load(size_t xray);

  void forget(size_t xray) { loaded_.erase(xray); }
  void forget_before(size_t xray) { loaded_.erase(loaded_.begin(), loaded_.lower_bound(xray)); }

  size_t failed() const { return failed_.size(); }
  /// Counts the warnings that were held back, and the X-rays that are unlike the training set.
  void finish() const;

 private:
  const SampleContext& run_;
  CtpaGenerator& generator_;
  std::map<size_t, LoadedCxr> loaded_;
  std::set<std::string> failed_;  // by their unique names
  std::set<size_t> unlike_, doubted_;
  RepeatedWarning failures_, doubts_, unlike_warnings_;
};

}  // namespace x2ctpa
