#include <ATen/ATen.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "operation.h"
#include "x2ctpa/core/words.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"
#include "x2ctpa/imaging/drr/drr.h"
#include "x2ctpa/imaging/volume/resample.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/metrics/image_quality.h"

namespace x2ctpa::bench {
namespace {

Operation of_volume(const std::function<at::Tensor()>& run) {
  auto result = std::make_shared<at::Tensor>();
  return {[=] { *result = run(); }, [=] { return TensorMap{{"volume", *result}}; }};
}

std::array<int64_t, 3> size_of(const Setup& setup) {
  return setup.options.at("size").get<std::array<int64_t, 3>>();
}

DrrOptions rendering_of(const Setup& setup) {
  DrrOptions options;
  options.size = setup.options.at("size");
  options.geometry.source_to_detector_mm = setup.options.at("source_to_detector_mm");
  options.geometry.source_to_centre_mm = setup.options.at("source_to_centre_mm");
  options.geometry.detector_mm = setup.options.at("detector_mm");
  options.view = find_word<BeamView>(setup.options.at("view").get<std::string>()).value();
  options.method = find_word<DrrMethod>(setup.options.at("method").get<std::string>()).value();
  return options;
}

}  // namespace

Operation resample_cubic(const Setup& setup) {
  Volume boxed{setup.input("hu")};
  boxed.spacing_mm = setup.options.at("spacing_mm").get<Vec3>();
  return of_volume([=] { return zoom_as_published(boxed, size_of(setup)).hu; });
}

// Series folder -> read, cut to the box, resampled twice.
Operation preprocess_series(const Setup& setup) {
  const auto folder = setup.options.at("series").get<std::string>();
  const auto box = setup.options.at("box").get<std::array<std::array<int64_t, 2>, 3>>();
  return of_volume([=] {
    auto series = choose_ct_series(scan_dicom_folder(folder), folder);
    Volume volume = read_dicom_series(series);
    for (int64_t axis = 0; axis < 3; ++axis) {
      const auto [first, count] = box[size_t(axis)];
      volume.hu = volume.hu.narrow(axis, first, count);
    }
    return zoom_as_published(volume, size_of(setup)).hu;
  });
}

Operation drr(const Setup& setup) {
  const auto volume = read_volume(setup.options.at("volume").get<std::string>());
  const auto options = rendering_of(setup);
  return of_volume([=] { return render_drr(volume, options); });
}

Operation drr_backward(const Setup& setup) {
  const auto volume = read_volume(setup.options.at("volume").get<std::string>());
  const auto options = rendering_of(setup);
  const auto picture = setup.input("picture");
  return of_volume([=] { return drr_gradient(volume, options, picture); });
}

Operation image_metrics(const Setup& setup) {
  const auto truth = setup.input("truth"), image = setup.input("image");
  const double range = setup.options.at("data_range");
  auto result = std::make_shared<ImageQuality>();
  return {[=] { *result = image_quality(truth, image, range); },
          [=] {
            const auto& q = *result;
            return TensorMap{{"numbers", at::tensor({q.mae, q.mse, q.psnr_db, q.ssim_3d, q.ssim_2d},
                                                    at::kDouble)}};
          }};
}

}  // namespace x2ctpa::bench
