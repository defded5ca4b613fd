// Options of `x2ctpa sample`, the section `sample` of an experiment.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "x2ctpa/diffusion/sampler.h"
#include "x2ctpa/imaging/xray/radiograph.h"
#include "x2ctpa/inference/projection_guidance.h"

namespace x2ctpa {

/// PE label given to a model with label guidance.
enum class SampleLabel { unknown, negative, positive };
constexpr auto words(SampleLabel) { return std::array{"unknown", "negative", "positive"}; }

/// What becomes of a volume whose name one of other settings has: it is not made, replaces that
/// one, or takes another name.
enum class OnConflict { skip, overwrite, suffix };
constexpr auto words(OnConflict) { return std::array{"skip", "overwrite", "suffix"}; }

/// The views that a model of both is given: all that are there, or those of a set alone.
enum class SampleViews { given, frontal, lateral, both };
constexpr auto words(SampleViews) { return std::array{"given", "frontal", "lateral", "both"}; }

struct SampleOptions {
  SamplerOptions sampler;
  ProjectionGuidanceOptions projection;
  CxrOptions cxr;  ///< as preprocess read those of the training set
  SampleLabel label = SampleLabel::unknown;
  SampleViews views = SampleViews::given;
  int64_t batch_size = 4;
  int64_t samples_per_cxr = 1;
  std::string name;
  OnConflict on_conflict = OnConflict::skip;
  bool preview = true;
  bool dicom = false;
  bool latents = false;

  void describe(OptionList& options);
};

}  // namespace x2ctpa
