// What a NIfTI header says of itself: its size, its spacing and the two forms that place its
// voxels.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// The place of voxels by one form of a header; LPS mm. The direction's columns have length 1, and
/// stand at right angles unless `skew`, the largest cosine between two of them, says otherwise.
struct NiftiPlace {
  Mat3 direction{};
  Vec3 spacing_mm{}, origin_mm{};
  double skew = 0;
};

/// The header of a NIfTI-1 or NIfTI-2 file, packed or not, in either order of bytes.
class NiftiHeader {
 public:
  /// Nothing where `file` does not begin with such a header.
  static std::optional<NiftiHeader> read(const std::filesystem::path& file);

  /// The field that begins at byte `first` of NIfTI-1 and at byte `later` of NIfTI-2.
  double real(size_t first, size_t later, size_t index = 0) const;
  int64_t code(size_t first, size_t later) const;

  /// Where the file must end, in bytes, unpacked.
  double end() const;
  std::array<double, 3> pixdim() const;

  /// The places by the quaternion and by the matrix; nothing where the code says that it is unset.
  std::optional<NiftiPlace> qform() const;
  std::optional<NiftiPlace> sform() const;

 private:
  template <class T>
  T number_at(size_t at) const {
    std::array<char, sizeof(T)> raw;
    std::copy_n(bytes_.begin() + std::ptrdiff_t(at), sizeof(T), raw.begin());
    if (swapped_) std::reverse(raw.begin(), raw.end());
    return std::bit_cast<T>(raw);
  }
  double millimetres() const;

  std::vector<char> bytes_;
  bool second_ = false, swapped_ = false;
};

}  // namespace x2ctpa
