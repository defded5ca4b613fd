#include "imaging/phantom/phantom_patient.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "x2ctpa/core/random.h"

namespace x2ctpa {
namespace phantom {

uint64_t Random::next() {
  uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

double Random::uniform(double low, double high) {
  return low + (high - low) * (double(next() >> 11) * 0x1p-53);
}

double Random::normal(double mean, double deviation) {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  const double value = radius * std::cos(2 * std::numbers::pi * uniform());
  return mean + deviation * std::clamp(value, -2.2, 2.2);
}

namespace {

Mat3 rotation_about_axes(double ax, double ay, double az) {
  const double cx = std::cos(ax), sx = std::sin(ax), cy = std::cos(ay), sy = std::sin(ay);
  const double cz = std::cos(az), sz = std::sin(az);
  return {{{cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz},
           {cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz},
           {-sy, sx * cy, cx * cy}}};
}

void draw_chest(Patient& p, Random& random) {
  // One factor of stature and one of habitus tie together what bodies vary in together.
  const double stature = random.normal(), habitus = random.normal();
  p.female = random.chance(0.5);
  p.truth.female = p.female;
  const double sex = p.female ? -1 : 1;
  const double width = 127 + 3 * sex + 6 * stature + 2.5 * habitus + random.normal(0, 3);
  const double asymmetry = random.normal(0, 0.025);
  p.half_width = {width * (1 + asymmetry), width * (1 - asymmetry)};
  p.half_depth = 0.67 * width + 3 * habitus + random.normal(0, 1.2);
  p.pear = random.normal(0, 0.6);
  p.muscle = 15 + 2 * sex + random.normal(0, 1);
  p.fat = std::clamp(11 + 6 * habitus, 3.0, 25.0);
  p.breast = p.female ? std::clamp(42 + 7 * habitus + random.normal(0, 3), 28.0, 60.0) : 0;

  p.height = 188 + 6 * sex + 8 * stature - 4 * habitus + random.normal(0, 9);
  p.apex_z = 0.5 * p.height + 6;
  p.dome_z[right] = p.apex_z - p.height + random.normal(0, 3);
  p.dome_z[left] = p.dome_z[right] - 9 + random.normal(0, 7);
  p.lung_hu = -812 + 8 * habitus + random.normal(0, 12);

  p.spine_bend = random.normal(0, 7);
  p.spine_phase = random.uniform(0, 2 * std::numbers::pi);
  p.middle_shift = random.normal(0, 4);
  p.heart_ratio = 0.46 + 0.012 * habitus + random.normal(0, 0.025);
  p.heart_shift = random.normal(0, 5);
  p.aorta_radius = 13.5 + random.normal(0, 1.2);
  p.aorta_tortuosity = random.uniform(0, 1);
}

// Signs come more often with PE than without; sign_strength scales the difference.
void draw_disease(Patient& p, const PhantomOptions& options, Random& random) {
  const bool pe = p.truth.pe;
  const auto sign = [&](double with_pe, double without) {
    const double middle = 0.5 * (with_pe + without);
    const double half = 0.5 * (with_pe - without) * options.sign_strength;
    return random.chance(pe ? middle + half : middle - half);
  };
  p.truth.enlarged_pa = sign(0.48, 0.16);
  p.truth.oligemia = sign(0.35, 0.07);
  p.truth.wedge = sign(0.30, 0.07);
  p.truth.effusion = sign(0.42, 0.18);
  p.truth.cardiomegaly = random.chance(0.2);
  p.truth.opacity = random.chance(pe ? 0.10 : 0.16);

  if (p.truth.enlarged_pa)
    p.pa_scale = random.uniform(1.28, 1.5);
  else
    p.pa_scale = random.normal(1, 0.04);
  if (p.truth.cardiomegaly) p.heart_ratio = random.uniform(0.56, 0.62);
  if (p.truth.oligemia) p.oligemia[random.chance(0.55) ? right : left] = random.uniform(0.7, 1);
  if (p.truth.effusion) {
    const int side = random.chance(0.5) ? right : left;
    p.fluid_mm[side] = random.uniform(25, 65);
    if (random.chance(0.3)) p.fluid_mm[1 - side] = random.uniform(15, 35);
  }
  const auto side = [&] { return random.chance(0.55) ? -1.0 : 1.0; };
  p.wedge_place = {side(), random.uniform(-0.2, 0.6), random.uniform(0.08, 0.4)};
  p.wedge_radius = random.uniform(20, 30);
  p.opacity_place = {side(), random.uniform(-0.5, 0.5), random.uniform(0.2, 0.75)};
  p.opacity_radius = random.uniform(16, 28);

  p.pa_hu = random.normal(345, 40);
  p.aorta_hu = random.normal(250, 40);
  p.vein_hu = p.aorta_hu + random.normal(20, 10);
  p.svc_hu = p.pa_hu + random.uniform(40, 200);
  p.truth.main_pa_hu = p.pa_hu;
  p.truth.aorta_hu = p.aorta_hu;
  p.truth.cardiothoracic_ratio = p.heart_ratio;
}

}  // namespace

Patient draw_patient(const PhantomOptions& options, int64_t seed, int64_t index) {
  Random random(stream_seed(seed, "phantom/" + phantom_id(index)));
  Patient p;
  p.truth.pe = phantom_has_pe(options, seed, index);
  draw_chest(p, random);
  draw_disease(p, options, random);
  // Where the couch stands: patients lie a few cm off the scanner's axis, at any table height.
  p.offset_mm = {random.normal(0, 12), random.normal(-150, 25), random.uniform(-900, -300)};
  double tilt[3] = {0, 0, 0};
  if (random.chance(options.oblique_fraction)) {
    const double most = options.max_tilt_degrees * std::numbers::pi / 180;
    for (double& angle : tilt) angle = random.uniform(-most, most);
  }
  p.direction = rotation_about_axes(tilt[0], tilt[1], tilt[2]);
  for (double& shift : p.jitter_mm) shift = random.uniform(-options.jitter_mm, options.jitter_mm);
  p.detail_seed = random.next();
  p.noise_seed = random.next();
  return p;
}

}  // namespace phantom

std::string phantom_id(int64_t index) { return fmt::format("P{:04}", index + 1); }

bool phantom_has_pe(const PhantomOptions& options, int64_t seed, int64_t index) {
  constexpr int64_t block_size = 10;
  const int64_t block = index / block_size;
  const auto share = [&](int64_t blocks) {
    return std::llround(double(blocks * block_size) * options.positive_fraction);
  };
  const int64_t positives = share(block + 1) - share(block);
  std::array<int64_t, block_size> order{};
  for (int64_t i = 0; i < block_size; ++i) order[i] = i;
  phantom::Random random(stream_seed(seed, fmt::format("phantom/labels/{}", block)));
  for (int64_t i = block_size - 1; i > 0; --i) std::swap(order[i], order[random.next() % (i + 1)]);
  return order[index % block_size] < positives;
}

std::string PhantomTruth::signs() const {
  std::string text;
  const auto add = [&](bool present, const char* name) {
    if (present) text += (text.empty() ? "" : ";") + std::string(name);
  };
  add(enlarged_pa, "enlarged_pa");
  add(oligemia, "oligemia");
  add(wedge, "wedge");
  add(effusion, "effusion");
  add(cardiomegaly, "cardiomegaly");
  add(opacity, "opacity");
  return text;
}

void PhantomOptions::describe(OptionList& options) {
  options.add("patients", &patients, "Number of patients.", {.min = 1, .max = 9999});
  options.add("positive_fraction", &positive_fraction, "Share of patients with pulmonary embolism.",
              {.min = 0, .max = 1});
  options.add("ct_size", &ct_size, "Rows and columns of a CT slice.", {.min = 16, .max = 1024});
  options.add("slices", &slices, "Slices of a CT.", {.min = 8, .max = 2048});
  options.add("field_of_view_mm", &field_of_view_mm, "Side of a CT slice in mm.",
              {.min = 200, .max = 600});
  options.add("scan_mm", &scan_mm, "Length of the CT along the patient in mm.",
              {.min = 150, .max = 380});
  options.add("noise_hu", &noise_hu, "Standard deviation of the CT's noise in HU.",
              {.min = 0, .max = 200});
  options.add("oblique_fraction", &oblique_fraction, "Share of CTs with oblique slices.",
              {.min = 0, .max = 1});
  options.add("max_tilt_degrees", &max_tilt_degrees,
              "Largest tilt of oblique slices about each axis.", {.min = 0, .max = 15});
  options.add("cxr_size", &cxr_size, "Rows and columns of the X-ray.", {.min = 32, .max = 4096});
  options.add("cxr_voxel_mm", &cxr_voxel_mm,
              "Voxel of the painting that the X-ray is projected from, in mm.",
              {.min = 0.5, .max = 10});
  options.add("photons", &photons,
              "Photons per detector pixel before the patient; 0: an X-ray without noise.",
              {.min = 0});
  options.add("jitter_mm", &jitter_mm,
              "Largest distance of the X-ray's central ray from the "
              "middle of the lungs, along each axis, in mm.",
              {.min = 0, .max = 50});
  options.add("mono1_fraction", &mono1_fraction, "Share of X-rays stored as MONOCHROME1.",
              {.min = 0, .max = 1});
  options.add("sign_strength", &sign_strength,
              "How much more often X-ray signs come with PE; 0: as often as without.",
              {.min = 0, .max = 1});
  options.add(
      "write_masks", &write_masks,
      "Also write lung_mask.nii.gz, artery_mask.nii.gz and embolus_mask.nii.gz per patient.");
  options.add("lateral", &lateral, "Also write the lateral X-ray, cxr_lateral.dcm, per patient.",
              {.unwritten_at = "false"});
}

}  // namespace x2ctpa
