// One case of `evaluate`: every number of a volume against the true one.
#pragma once

#include <torch/types.h>

#include <filesystem>

#include "x2ctpa/evaluation/evaluation.h"
#include "x2ctpa/models/lpips.h"

namespace x2ctpa {

/// Throws Error for NaN, and for values that are no HU or were cut off inside the window: the
/// lowest value of a chest lies at or below both the window's lower end and -900 HU, unless it was
/// clipped by another window, is scaled to [-1, 1], or holds 8-bit grey levels. `what` names it.
void check_volume(const Volume& volume, const EvaluationInputs& inputs, const char* what);

/// The true volume of a case, with what it gives to each comparison.
class VolumeComparison {
 public:
  /// Reads the true volume and, where there is one, the X-ray. `lpips` may be null. `x2ct`: also
  /// that protocol's numbers. Throws Error for an unusable true volume.
  VolumeComparison(const SamplePair& pair, const EvaluationInputs& inputs, Lpips* lpips, bool x2ct);

  /// Every number that can be measured. Throws Error for another grid.
  MetricValues of(const Volume& image) const;

  const Volume& truth() const { return truth_; }
  bool has_lungs() const { return lungs_.defined(); }

 private:
  void find_vessels();
  void find_arteries(const std::filesystem::path& file);
  void add_anatomy(MetricValues& values, const Volume& image, const at::Tensor& clipped) const;
  void add_x2ct(MetricValues& values, const Volume& image) const;
  double lpips_of(const at::Tensor& clipped) const;
  at::Tensor clip(const at::Tensor& hu) const;

  const EvaluationInputs& inputs_;
  Lpips* lpips_;
  bool x2ct_;
  Volume truth_;
  at::Tensor clipped_, lungs_, centre_, bright_, arteries_, near_arteries_, cxr_;
};

}  // namespace x2ctpa
