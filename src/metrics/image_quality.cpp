#include "x2ctpa/metrics/image_quality.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "metrics/ssim.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

struct DifferenceSums {
  double absolute = 0, squared = 0;
};

at::Tensor plain(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU, at::kFloat).contiguous();
}

void check_pair(const at::Tensor& truth, const at::Tensor& image) {
  if (truth.sizes() != image.sizes()) {
    throw Error(fmt::format("comparing two volumes: expected equal shapes, found [{}] and [{}]",
                            fmt::join(truth.sizes(), ", "), fmt::join(image.sizes(), ", ")));
  }
  if (truth.numel() == 0) throw Error("comparing two volumes: they have no voxels");
}

// Partial sums over blocks of a fixed length, added in order, so that neither rounding nor the
// number of threads moves the result.
DifferenceSums difference_sums(const at::Tensor& truth, const at::Tensor& image) {
  constexpr int64_t block = 1 << 14;
  const int64_t n = truth.numel(), blocks = (n + block - 1) / block;
  const float* a = truth.const_data_ptr<float>();
  const float* b = image.const_data_ptr<float>();
  std::vector<DifferenceSums> parts(blocks);
  at::parallel_for(0, blocks, 8, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      DifferenceSums sums;
      for (int64_t i = k * block, end = std::min(n, i + block); i < end; ++i) {
        const double difference = double(a[i]) - double(b[i]);
        sums.absolute += std::abs(difference);
        sums.squared += difference * difference;
      }
      parts[k] = sums;
    }
  });
  DifferenceSums total;
  for (const auto& part : parts) {
    total.absolute += part.absolute;
    total.squared += part.squared;
  }
  return total;
}

DifferenceSums mean_differences(const at::Tensor& truth, const at::Tensor& image) {
  check_pair(truth, image);
  DifferenceSums sums = difference_sums(plain(truth), plain(image));
  sums.absolute /= double(truth.numel());
  sums.squared /= double(truth.numel());
  return sums;
}

}  // namespace

double mean_squared_error(const at::Tensor& truth, const at::Tensor& image) {
  return mean_differences(truth, image).squared;
}

double psnr_db(double mean_squared_error, double data_range) {
  if (mean_squared_error == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(data_range * data_range / mean_squared_error);
}

namespace {

void check_volumes(const at::Tensor& truth, const at::Tensor& image, double data_range) {
  check_pair(truth, image);
  if (truth.dim() != 3) {
    throw Error(fmt::format("image quality: expected volumes (D, H, W), found shape [{}]",
                            fmt::join(truth.sizes(), ", ")));
  }
  if (!(data_range > 0)) {
    throw Error(fmt::format("image quality: expected a data range above 0, found {}", data_range));
  }
}

// Means of 2 x 2 x 2 voxels; an axis of one voxel stays, an odd last plane is left out.
at::Tensor halved(const at::Tensor& volume) {
  std::vector<int64_t> kernel;
  for (int64_t n : volume.sizes()) kernel.push_back(n > 1 ? 2 : 1);
  return at::avg_pool3d(volume.unsqueeze(0), kernel).squeeze(0).contiguous();
}

// Wang et al. 2003, table of the human experiment.
constexpr double scale_weights[] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};

double ms_ssim_from(const SsimMeans& finest, at::Tensor a, at::Tensor b, double data_range) {
  double product = 1;
  SsimMeans means = finest;
  for (int scale = 0; scale < 5; ++scale) {
    if (scale > 0) {
      a = halved(a);
      b = halved(b);
      means = ssim_means(a, b, data_range);
    }
    const double factor = scale < 4 ? means.structure : means.volume;
    product *= std::isnan(factor) ? factor : std::pow(std::max(factor, 0.0), scale_weights[scale]);
  }
  return product;
}

}  // namespace

ImageQuality image_quality(const at::Tensor& truth, const at::Tensor& image, double data_range) {
  check_volumes(truth, image, data_range);
  const at::Tensor a = plain(truth), b = plain(image);
  const DifferenceSums sums = difference_sums(a, b);
  ImageQuality quality;
  quality.mae = sums.absolute / double(a.numel());
  quality.mse = sums.squared / double(a.numel());
  quality.psnr_db = psnr_db(quality.mse, data_range);
  const SsimMeans means = ssim_means(a, b, data_range);
  quality.ssim_2d = means.slices;
  quality.ssim_3d = means.volume;
  quality.ms_ssim_3d = ms_ssim_from(means, a, b, data_range);
  return quality;
}

MaskedQuality masked_quality(const at::Tensor& truth, const at::Tensor& image,
                             const at::Tensor& mask, double data_range) {
  check_volumes(truth, image, data_range);
  check_pair(truth, mask);
  const at::Tensor a = plain(truth), b = plain(image), inside = mask.to(at::kCPU) != 0;
  MaskedQuality quality;
  quality.voxels = inside.sum().item<int64_t>();
  if (quality.voxels == 0) throw Error("image quality: the mask is empty");
  const DifferenceSums sums = mean_differences(a.masked_select(inside), b.masked_select(inside));
  quality.mae = sums.absolute;
  quality.mse = sums.squared;
  quality.psnr_db = psnr_db(quality.mse, data_range);
  quality.ssim_3d =
      ssim_means(a, b, data_range, {.mask = inside.to(at::kFloat).contiguous()}).volume;
  return quality;
}

namespace {

// X2CT-GAN's PSNR, which is finite for what is equal.
double finite_psnr_db(double mean_squared_error, double peak) {
  return mean_squared_error == 0 ? 100 : psnr_db(mean_squared_error, peak);
}

double planes_psnr_db(const at::Tensor& truth, const at::Tensor& image, double peak) {
  const at::Tensor squares = (truth - image).to(at::kDouble).square();
  double mean = 0;
  for (int64_t axis = 0; axis < 3; ++axis) {
    const at::Tensor errors = squares.movedim(axis, 0).flatten(1).mean(1);
    double sum = 0;
    for (int64_t k = 0; k < errors.numel(); ++k)
      sum += finite_psnr_db(errors[k].item<double>(), peak);
    mean += sum / double(errors.numel()) / 3;
  }
  return mean;
}

}  // namespace

X2ctQuality x2ct_quality(const at::Tensor& truth_hu, const at::Tensor& image_hu) {
  constexpr double range = 2500, peak = 4095;
  check_volumes(truth_hu, image_hu, range);
  const auto unit = [&](const at::Tensor& hu) {
    return (plain(hu) + 1024).clamp_(0, range) / range;
  };
  const at::Tensor a = unit(truth_hu), b = unit(image_hu);
  const at::Tensor whole_a = (a * range).trunc_(), whole_b = (b * range).trunc_();
  const DifferenceSums differences = mean_differences(whole_a, whole_b);
  const at::Tensor x = a.to(at::kDouble).flatten(), y = b.to(at::kDouble).flatten();
  X2ctQuality quality;
  quality.planes_psnr_db = planes_psnr_db(whole_a, whole_b, peak);
  quality.psnr_db = finite_psnr_db(differences.squared, peak);
  quality.mae = differences.absolute;
  quality.mse = differences.squared;
  quality.cosine = (x.dot(y) / (x.norm() * y.norm())).item<double>();
  return quality;
}

PlanesQuality planes_quality(const at::Tensor& truth, const at::Tensor& image, double data_range) {
  check_volumes(truth, image, data_range);
  const at::Tensor a = plain(truth), b = plain(image);
  PlanesQuality quality;
  quality.psnr_db = planes_psnr_db(a, b, data_range);
  for (int64_t axis = 0; axis < 3; ++axis) {
    quality.ssim += ssim_means(a.movedim(axis, 0).contiguous(), b.movedim(axis, 0).contiguous(),
                               data_range, {.uniform_sample = true, .slices_only = true})
                        .slices /
                    3;
  }
  return quality;
}

}  // namespace x2ctpa
