// Simulated patients with known truth: a chest CT pulmonary angiography and its chest X-ray.
//
// A thorax is a list of analytic shapes (ellipses per level for body, rib cage and lungs; capsules
// and ellipsoids for bones, heart and vessels) painted with soft edges onto any grid. The CT is
// painted with contrast in the vessels, the X-ray is projected from a finer painting of the same
// patient without it: an X-ray is taken before contrast is given, and shows no clot.
//
// Nearly every size is drawn together with what a frontal X-ray shows (lung widths and heights,
// heart, spine, habitus); depths follow widths. Vessel trees are one template, bent to the patient.
//
// HU: arteries 250 to 450 and acute clots 33 +- 15 as in Wittram et al., AJR 186 (2006) S421, and
// AJR 188 (2007) 1255. Signs on the X-ray are those of Elliott et al., Chest 118 (2000) 33, and
// Worsley et al., Radiology 189 (1993) 133, at higher rates, so that a few hundred patients
// suffice.
#pragma once

#include <torch/types.h>

#include <string>

#include "x2ctpa/core/options.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

struct PhantomOptions {
  int64_t patients = 240;
  double positive_fraction = 0.4;
  int64_t ct_size = 96;
  int64_t slices = 64;
  double field_of_view_mm = 375;
  double scan_mm = 304;
  double noise_hu = 12;
  double oblique_fraction = 0.3;
  double max_tilt_degrees = 3;
  int64_t cxr_size = 256;
  double cxr_voxel_mm = 2.4;
  double photons = 20000;
  double jitter_mm = 4;
  double mono1_fraction = 0.2;
  double sign_strength = 1;
  bool write_masks = false;
  bool lateral = false;

  void describe(OptionList& options);
};

/// What is true of a patient.
struct PhantomTruth {
  bool pe = false;
  bool female = false;
  bool enlarged_pa = false, oligemia = false, wedge = false, effusion = false;  ///< X-ray signs
  bool cardiomegaly = false, opacity = false;                                   ///< bystanders
  double main_pa_hu = 0, aorta_hu = 0;                                          ///< contrast in HU
  double embolus_ml = 0;            ///< volume of all clots
  double cardiothoracic_ratio = 0;  ///< heart width / inner chest width

  /// The signs present, joined by ';': "enlarged_pa;effusion".
  std::string signs() const;
};

struct Phantom {
  Volume ct;                    ///< contrast-enhanced CT in HU, with noise
  at::Tensor embolus_mask;      ///< uint8 (D, H, W): voxels that are mostly clot
  at::Tensor artery_mask;       ///< uint8 (D, H, W): pulmonary arteries, clots included
  at::Tensor lung_mask;         ///< uint8 (D, H, W): lungs with their vessels
  at::Tensor cxr;               ///< float32 (S, S) in [0, 1], bone bright, hung as a PA X-ray
  at::Tensor cxr_lateral;       ///< the same from the left side, the patient looking to its left;
                                ///< undefined unless asked for
  Vec3 cxr_centre_mm{0, 0, 0};  ///< LPS point on both central rays: middle of the lungs, jittered
  PhantomTruth truth;
};

/// The id of patient `index` (from 0): "P0001", ...
std::string phantom_id(int64_t index);

/// Whether patient `index` has PE; every block of ten holds its share of positives.
bool phantom_has_pe(const PhantomOptions& options, int64_t seed, int64_t index);

/// Patient `index` of `seed`: the same on each call, whatever the number of threads.
Phantom make_phantom(const PhantomOptions& options, int64_t seed, int64_t index);

}  // namespace x2ctpa
