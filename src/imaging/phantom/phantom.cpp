#include "x2ctpa/imaging/phantom/phantom.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "imaging/phantom/phantom_organs.h"
#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/projection_geometry.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/imaging/drr/drr.h"

namespace x2ctpa {
namespace {

using phantom::Patient;

Volume empty_volume(const Vec3& centre, std::array<int64_t, 3> size_dhw, const Vec3& spacing,
                    const Mat3& direction) {
  Volume volume;
  volume.hu = torch::empty({size_dhw[0], size_dhw[1], size_dhw[2]}, torch::kFloat);
  volume.spacing_mm = spacing;
  volume.direction = direction;
  for (int row : {0, 1, 2}) {
    volume.origin_mm[row] = centre[row];
    for (int axis : {0, 1, 2})
      volume.origin_mm[row] -=
          direction[row][axis] * spacing[axis] * 0.5 * double(size_dhw[2 - axis] - 1);
  }
  return volume;
}

Volume ct_grid(const PhantomOptions& o, const Patient& p) {
  const double pixel = o.field_of_view_mm / double(o.ct_size);
  const double slice = o.scan_mm / double(o.slices);
  // Technicians centre the scan on the lungs, which reach from some 170 mm below the frame's origin
  // to 115 mm above it; it never fits to the millimetre.
  const Vec3 centre{p.offset_mm[0] * 1.05, p.offset_mm[1] + 2, p.offset_mm[2] - 27};
  return empty_volume(centre, {o.slices, o.ct_size, o.ct_size}, {pixel, pixel, slice}, p.direction);
}

// Tall enough to fill the X-ray from neck to belly; coarser along the beam, which sums it up.
Volume cxr_grid(const PhantomOptions& o, const Patient& p, CxrView view) {
  const double fine = o.cxr_voxel_mm;
  const double x = view == CxrView::frontal ? fine : 2 * fine, y = 3 * fine - x;
  const auto count = [](double mm, double voxel) { return int64_t(mm / voxel) + 1; };
  // The lungs' middle, and with it the X-ray's, lies below the frame's origin.
  const Vec3 centre{p.offset_mm[0], p.offset_mm[1], p.offset_mm[2] - 18};
  return empty_volume(centre, {count(445, fine), count(290, y), count(400, x)}, {x, y, fine},
                      {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}});
}

// Middle of the box around the lung mask, in LPS mm.
Vec3 middle_of(const at::Tensor& mask, const Volume& volume) {
  Vec3 index{};
  for (int axis : {0, 1, 2}) {
    std::vector<int64_t> others;
    for (int64_t d : {0, 1, 2})
      if (d != 2 - axis) others.push_back(d);
    const auto used = torch::nonzero(mask.amax(others)).flatten();
    if (used.numel() == 0) return volume.centre_mm();
    index[axis] = 0.5 * double(used[0].item<int64_t>() + used[-1].item<int64_t>());
  }
  return volume.point(index);
}

// Noise of counting photons: the deviation of a line integral L is sqrt(exp(L) / photons).
void add_photon_noise(at::Tensor& line_integral, double photons, uint64_t seed) {
  phantom::Random random(seed);
  float* values = line_integral.mutable_data_ptr<float>();
  for (int64_t i = 0; i < line_integral.numel(); ++i)
    values[i] += float(random.normal() * std::sqrt(std::exp(values[i]) / photons));
}

at::Tensor make_cxr(const PhantomOptions& o, const Patient& p, const phantom::Thorax& thorax,
                    const phantom::Shapes& shapes, const Vec3& centre, CxrView view) {
  phantom::Canvas canvas;
  canvas.volume = cxr_grid(o, p, view);
  phantom::paint(canvas, thorax, shapes, p.offset_mm, {.contrast = false, .masks = false});
  DrrOptions drr;
  drr.size = o.cxr_size;
  drr.step_mm = 2 * o.cxr_voxel_mm;
  uint64_t seed = ~p.noise_seed;
  if (view == CxrView::lateral) {
    drr.view = BeamView::lateral;
    drr.geometry = drr.geometry.lateral(usual_lateral_source_to_centre_mm);
    seed = stream_seed(int64_t(seed), "lateral");
  }
  at::Tensor lines = render_drr(canvas.volume, drr, centre);
  if (o.photons > 0) add_photon_noise(lines, o.photons, seed);
  return displayed_xray(lines);
}

}  // namespace

Phantom make_phantom(const PhantomOptions& options, int64_t seed, int64_t index) {
  const Patient patient = phantom::draw_patient(options, seed, index);
  const phantom::Thorax thorax(patient);
  phantom::Shapes shapes;
  phantom::add_heart(shapes, thorax);
  phantom::add_bones(shapes, thorax);
  phantom::add_airways(shapes, thorax);
  phantom::add_opacities(shapes, thorax);
  const auto arteries = phantom::add_pulmonary_vessels(shapes, thorax);
  phantom::add_clots(shapes, arteries, patient);

  phantom::Canvas canvas;
  canvas.volume = ct_grid(options, patient);
  phantom::paint(canvas, thorax, shapes, patient.offset_mm,
                 {.contrast = true,
                  .masks = true,
                  .noise_hu = options.noise_hu,
                  .noise_seed = patient.noise_seed});
  Phantom made;
  made.ct = canvas.volume;
  made.embolus_mask = canvas.clot;
  made.artery_mask = canvas.artery;
  made.lung_mask = canvas.lung;
  made.truth = patient.truth;
  made.truth.embolus_ml = canvas.clot_ml;
  made.cxr_centre_mm = middle_of(canvas.lung, canvas.volume);
  for (int axis : {0, 1, 2}) made.cxr_centre_mm[axis] += patient.jitter_mm[axis];
  const auto cxr = [&](CxrView view) {
    return make_cxr(options, patient, thorax, shapes, made.cxr_centre_mm, view);
  };
  made.cxr = cxr(CxrView::frontal);
  if (options.lateral) made.cxr_lateral = cxr(CxrView::lateral);
  return made;
}

}  // namespace x2ctpa
