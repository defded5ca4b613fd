// What the parts of one run of `sample` share.
#pragma once

#include <string>

#include "x2ctpa/inference/sample_folder.h"
#include "x2ctpa/inference/sample_run.h"

namespace x2ctpa {

struct SampleContext {
  const SampleJob& job;
  const SampleOptions& options;
  const RuntimeOptions& runtime;
  SampleFolder folder;
  std::string settings;              ///< a hash of all that a volume depends on besides its X-ray
  std::string spread_settings = {};  ///< of all that what several samples say depends on

  const CxrItem& xray_of(const SampleItem& item) const { return job.xrays[item.xray]; }
};

}  // namespace x2ctpa
