// One case of `evaluate`: every number of a volume against the true one.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>

#include "x2ctpa/evaluation/evaluation.h"
#include "x2ctpa/models/lpips.h"

namespace x2ctpa {

/// Throws Error for NaN, and for values that are no HU or were cut off inside the window: the
/// lowest value of a chest lies at or below both the window's lower end and -900 HU, unless it was
/// clipped by another window, is scaled to [-1, 1], or holds 8-bit grey levels. `what` names it.
void check_volume(const Volume& volume, const EvaluationInputs& inputs, const char* what);

/// The share of each voxel of the true volume in the dataset's mask of `kind`, 0 to 1; undefined
/// without one. Throws Error for another grid.
at::Tensor read_mask(const SamplePair& pair, const std::string& kind, const Volume& truth);

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
  const std::string& why_no_lungs() const { return why_no_lungs_; }
  /// Metrics that this true volume cannot tell, and why; without those that nobody asked for.
  std::map<int, std::string> untold() const;
  bool lungs_are_given() const { return near_lungs_.defined(); }
  bool arteries_are_given() const { return arteries_.defined(); }
  /// (D, H, W), not 0 inside; undefined where none were found.
  const at::Tensor& lungs() const { return lungs_; }
  const IntensityWindow& window() const { return inputs_.window; }
  /// HU within the window.
  at::Tensor clip(const at::Tensor& hu) const;
  /// (1, S, S) in [0, 1]; undefined without an X-ray.
  const at::Tensor& cxr() const { return cxr_; }
  /// The correlation of the true volume's own projection with the X-ray; NaN without one.
  double truth_projection() const { return truth_projection_; }

 private:
  void find_vessels();
  double projection_of(const at::Tensor& hu) const;
  void find_lungs(const SamplePair& pair);
  void find_arteries(const SamplePair& pair);
  double lung_dice(const Volume& image) const;
  void add_anatomy(MetricValues& values, const Volume& image, const at::Tensor& clipped) const;
  void add_x2ct(MetricValues& values, const Volume& image) const;
  double lpips_of(const at::Tensor& clipped) const;

  const EvaluationInputs& inputs_;
  Lpips* lpips_;
  bool x2ct_;
  bool lungs_cut_off_ = false;  // by the window
  std::string why_no_lungs_;
  Volume truth_;
  at::Tensor clipped_, lungs_, near_lungs_, centre_, bright_, arteries_, near_arteries_, cxr_;
  double truth_projection_ = 0;
};

}  // namespace x2ctpa
