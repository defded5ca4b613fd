// Options of `x2ctpa sample`, the section `sample` of an experiment.
#pragma once

#include <cstdint>
#include <string>

#include "x2ctpa/diffusion/sampler.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {

struct SampleOptions {
  SamplerOptions sampler;
  CxrOptions cxr;  ///< as preprocess read those of the training set
  std::string label = "unknown";
  int64_t batch_size = 4;
  int64_t samples_per_cxr = 1;
  std::string name;
  std::string on_conflict = "skip";
  bool preview = true;
  bool dicom = false;
  bool latents = false;

  void describe(OptionList& options);
};

}  // namespace x2ctpa
