// How the autoencoders of volumes divide a downsampling among their levels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace x2ctpa {

/// Throws Error, `network` as its beginning, unless there are three powers of two, one of them
/// above 1.
void check_downsample(const std::vector<int64_t>& downsample, const std::string& network);

/// The strides of each level: an axis is halved until its factor is used up.
std::vector<std::vector<int64_t>> level_strides(const std::vector<int64_t>& downsample);

/// `size_dhw` over `downsample`. Throws Error, `network` as its beginning, where it does not
/// divide.
std::vector<int64_t> downsampled(const std::vector<int64_t>& size_dhw,
                                 const std::vector<int64_t>& downsample,
                                 const std::string& network);

}  // namespace x2ctpa
