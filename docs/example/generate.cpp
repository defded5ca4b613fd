// One chest X-ray becomes one CT volume:  generate MODEL_FOLDER XRAY OUT.nii.gz
#include <cstdio>

#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/volume/resample.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"
#include "x2ctpa/inference/ctpa_generator.h"

int main(int argc, char** argv) try {
  if (argc != 4) throw x2ctpa::Error("usage: generate MODEL_FOLDER XRAY OUT.nii.gz");
  x2ctpa::RuntimeOptions runtime;  // runtime.device, .precision, .memory_gb, ...
  x2ctpa::configure_runtime(runtime);
  x2ctpa::CtpaGenerator generator(argv[1], runtime);
  const x2ctpa::DatasetInfo& info = generator.info();

  const x2ctpa::ModelXray xray = x2ctpa::load_model_xray(argv[2], info.cxr_size);
  x2ctpa::SampleRequest request;
  request.id = "example";  // names the noise: the same id and seed give the same volume
  request.cxr = xray.picture.unsqueeze(0);
  const at::Tensor hu = generator.generate({request}, x2ctpa::SamplerOptions(), /*seed=*/0)[0];

  x2ctpa::Vec3 extent_mm{};  // that of a typical volume of the training set
  for (int a = 0; a < 3; ++a) extent_mm[a] = info.typical_spacing_mm[a] * info.grid_dhw[2 - a];
  const auto grid = x2ctpa::centred_grid(info.grid_dhw, {0, 0, 0}, extent_mm);
  x2ctpa::write_nifti({hu, grid.origin_mm, grid.spacing_mm, grid.direction}, argv[3],
                      "SYNTHETIC CTPA by x2ctpa, research use only");
} catch (const x2ctpa::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return int(error.code());
}
