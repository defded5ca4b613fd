// Voxel-wise and structural differences between two volumes: MAE, MSE, PSNR and SSIM (Wang et al.
// 2004, doi:10.1109/TIP.2003.819861), in the conventions of scikit-image.
//
// Axes: (D, H, W), any number of slices; slices are taken along D.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace x2ctpa {

/// Every number of one pair. `mae` and `mse` are in the unit of the volumes (HU, HU squared).
struct ImageQuality {
  double mae = 0;
  double mse = 0;
  double psnr_db = 0;  ///< +infinity for equal volumes
  double ssim_2d = 0;  ///< mean over slices of the 2D index
  double ssim_3d = 0;
  double ms_ssim_3d = 0;  ///< Wang et al. 2003, five scales of the 3D index
};

/// All numbers of `image` against `truth` in two passes, threaded. Both are (D, H, W) of one shape
/// on the CPU; other types than float32 are converted. `data_range` is the width of the possible
/// values (the intensity window), never taken from the data.
///
/// SSIM: Gaussian weights, sigma 1.5, cut at 3.5 sigma (11 taps), K1 0.01, K2 0.03, population
/// (not sample) covariance, averaged over the voxels whose whole window lies inside: skimage's
/// structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False).
/// Along an axis shorter than 11 the window shrinks to the largest odd length that fits.
///
/// MS-SSIM (doi:10.1109/ACSSC.2003.1292216): contrast-structure factors of four scales and the
/// index of the fifth, each scale the mean of 2 x 2 x 2 voxels of the one before, factors below 0
/// taken as 0. The shrinking window makes it defined at any depth; where no axis is shortened it
/// equals pytorch-msssim.
///
/// The result does not depend on the number of threads. NaN voxels give NaN.
/// Throws Error for unequal shapes, empty volumes or a data range that is not positive.
ImageQuality image_quality(const at::Tensor& truth, const at::Tensor& image, double data_range);

/// The same inside a mask alone. SSIM is the mean of the 3D index at the mask's voxels whose whole
/// window lies inside the volume, NaN when there are none.
struct MaskedQuality {
  int64_t voxels = 0;
  double mae = 0, mse = 0, psnr_db = 0, ssim_3d = 0;
};
/// `mask`: not 0 inside. Throws Error as image_quality does, and for an empty mask.
MaskedQuality masked_quality(const at::Tensor& truth, const at::Tensor& image,
                             const at::Tensor& mask, double data_range);

/// Means over all slices along each of the three axes, then over the axes, as X2CT-GAN (Ying et
/// al., arXiv 1905.06902) reports them: PSNR of each slice, 100 dB for equal ones, and SSIM of
/// scikit-image's default, 7 x 7 equal weights and sample covariance.
struct PlanesQuality {
  double psnr_db = 0, ssim = 0;
};
PlanesQuality planes_quality(const at::Tensor& truth, const at::Tensor& image, double data_range);

/// The numbers that X2CT-GAN's code prints (its test.py and metrics_np.py) of two volumes in HU.
/// CT numbers are HU + 1024 within [0, 2500], scaled to [0, 1] and back in single precision and cut
/// to whole numbers, which makes 140 of the 2501 one less. PSNR takes 4095 as the peak of this
/// range of 2500, which adds 20 log10(4095 / 2500) = 4.29 dB, and 100 dB for equal slices and equal
/// volumes. Its SSIM is that of PlanesQuality at a data range of 2500.
struct X2ctQuality {
  double planes_psnr_db = 0;  ///< mean over all slices of each axis, then over the axes
  double psnr_db = 0;         ///< of the volume
  double mae = 0, mse = 0;    ///< in HU, HU squared
  double cosine = 0;          ///< of the CT numbers as they are before they are cut
};
X2ctQuality x2ct_quality(const at::Tensor& truth_hu, const at::Tensor& image_hu);

/// The parts of image_quality alone, for tensors of any (equal) shape.
double mean_squared_error(const at::Tensor& truth, const at::Tensor& image);
double psnr_db(double mean_squared_error, double data_range);

/// The weights along an axis of `length` voxels: normalised, odd in number, at most 11.
std::vector<float> ssim_window(int64_t length);

}  // namespace x2ctpa
