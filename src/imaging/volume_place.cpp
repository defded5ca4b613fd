#include "imaging/volume_place.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

#include "imaging/files/nifti_header.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

constexpr double largest_rounding_voxels = 0.5;
// Axes further apart than 45 degrees name other directions of the patient.
constexpr double least_agreement = 0.7071;
constexpr double largest_form_skew = 1e-2;  // beyond this a matrix is no rotation

Vec3 corner_of(const NiftiPlace& place, const ImageHeader& header, int number) {
  Vec3 point = place.origin_mm;
  for (size_t axis = 0; axis < 3; ++axis) {
    if ((number >> axis & 1) == 0) continue;
    const double length = place.spacing_mm[axis] * double(header.size[axis] - 1);
    for (size_t row = 0; row < 3; ++row) point[row] += place.direction[row][axis] * length;
  }
  return point;
}

// How far apart the two forms put a corner of the volume, at most.
double distance_mm(const NiftiPlace& a, const NiftiPlace& b, const ImageHeader& header) {
  double largest = 0;
  for (int number = 0; number < 8; ++number) {
    const Vec3 p = corner_of(a, header, number), q = corner_of(b, header, number);
    largest = std::max(largest, std::hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]));
  }
  return largest;
}

// False where a voxel axis runs along another direction of the patient.
bool same_sides(const NiftiPlace& a, const NiftiPlace& b) {
  for (size_t axis = 0; axis < 3; ++axis) {
    double cosine = 0;
    for (size_t row = 0; row < 3; ++row) cosine += a.direction[row][axis] * b.direction[row][axis];
    if (cosine < least_agreement) return false;
  }
  return true;
}

void add_doubt(VolumeDoubts& doubts, const char* code, const std::string& note) {
  doubts.codes.push_back(code);
  doubts.notes.push_back(note);
}

void settle_nifti(const fs::path& file, NiftiForm wanted, bool tolerant, ImageHeader& header,
                  VolumeDoubts& doubts) {
  const auto nifti = NiftiHeader::read(file);
  if (!nifti) return;
  const auto qform = nifti->qform(), sform = nifti->sform();
  if (!qform && !sform) {
    const std::string note =
        "neither qform nor sform is set, so its header does not tell left from right";
    if (!tolerant)
      throw SeriesError(
          "no-orientation",
          fmt::format("{}: {}. Convert it again from its source, or set the sform where you know "
                      "the orientation (in nibabel: image.set_sform(affine, 1)).",
                      file.string(), note));
    add_doubt(doubts, "no-orientation", note);
    return;
  }
  if (!qform || !sform) return;
  const double distance = distance_mm(*qform, *sform, header);
  const auto& mm = header.spacing_mm;
  if (distance <= largest_rounding_voxels * *std::min_element(mm.begin(), mm.end())) return;
  const bool is_matrix_bent = sform->skew > largest_form_skew;
  const bool by_qform =
      wanted == NiftiForm::qform || (wanted == NiftiForm::automatic && is_matrix_bent);
  const std::string both =
      fmt::format("its qform and sform put a corner {:.4g} mm apart (axes {} and {})", distance,
                  orientation_letters(qform->direction), orientation_letters(sform->direction));
  const bool contradict = !same_sides(*qform, *sform);
  if (contradict && wanted == NiftiForm::automatic && !tolerant)
    throw SeriesError(
        "forms-contradict",
        fmt::format("{}: {}: left and right, or another direction, depend on which one holds. "
                    "Compare with the source and correct the header (in nibabel: "
                    "image.set_qform(image.get_sform(), 1), or the reverse); x2ctpa preprocess "
                    "chooses one for all volumes with --preprocess.nifti_form qform or sform.",
                    file.string(), both));
  const char* why = wanted != NiftiForm::automatic ? "as preprocess.nifti_form says"
                    : contradict                   ? "here; preprocess refuses the file unless "
                                                     "preprocess.nifti_form chooses"
                    : by_qform ? "since the sform's axes are not at right angles"
                               : "as nibabel, ITK and FSL do";
  add_doubt(doubts, contradict ? "forms-contradict" : "forms-differ",
            fmt::format("{}; the {} is taken, {}", both, by_qform ? "qform" : "sform", why));
  const NiftiPlace& place = by_qform ? *qform : *sform;
  header.direction = place.direction;
  header.spacing_mm = place.spacing_mm;
  header.origin_mm = place.origin_mm;
}

// NRRD and MetaImage files may leave the directions out; ITK then takes their axes as LPS.
void doubt_silent_header(const fs::path& file, const ImageHeader& header, VolumeDoubts& doubts) {
  std::string head(4096, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(head.data(), std::streamsize(head.size()));
  const auto says = [&](const char* field) { return head.find(field) != std::string::npos; };
  const bool known = header.format == "NRRD"
                         ? says("space:")
                         : says("TransformMatrix") || says("Rotation") || says("Orientation");
  if (!known)
    add_doubt(doubts, "orientation-assumed",
              fmt::format("its {} header gives no orientation; its axes are taken to run to the "
                          "left, to the back and up (LPS)",
                          header.format));
}

}  // namespace

void settle_place(const fs::path& file, NiftiForm wanted, bool tolerant, ImageHeader& header,
                  VolumeDoubts& doubts) {
  if (header.format == "NIfTI")
    settle_nifti(file, wanted, tolerant, header, doubts);
  else
    doubt_silent_header(file, header, doubts);
}

}  // namespace x2ctpa
