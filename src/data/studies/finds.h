// CTs and X-rays found below a folder, before they are made into studies.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "x2ctpa/data/studies/archive.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"

namespace x2ctpa {

/// One CT or one X-ray.
struct Find {
  std::filesystem::path source;  ///< what to read
  std::filesystem::path shown;   ///< the same as the user knows it: archives count as folders
  std::filesystem::path folder;  ///< where it lies, of `shown`
  bool is_ct = false;
  bool lateral = false;  ///< of X-rays, by the header
  std::string patient;   ///< PatientID; empty: unknown
  std::string study_uid, accession;
  std::vector<std::string> secrets;  ///< what must not be part of an id
  std::optional<double> time_s;
  std::shared_ptr<const DicomSeries> series;  ///< of a DICOM CT
  std::vector<std::string> notes;
  std::string refused_code, refused;
  std::vector<std::shared_ptr<const Unpacked>> archives;  ///< that its files come out of
};

enum class PathKind { volume, picture, archive, maybe_dicom, other };
PathKind kind_of(const std::filesystem::path& file);

/// Everything at and below `root`, archives unpacked, DICOM grouped by headers and one CT series
/// chosen per study. In order of `shown`.
std::vector<Find> search(const std::filesystem::path& root, const InputOptions& options);

/// The finds of one unpacked archive, shown as a folder in its place.
std::vector<Find> search(const std::shared_ptr<const Unpacked>& archive,
                         const InputOptions& options);

ArchiveLimits archive_limits(const FindOptions& options);

/// The frontal X-ray among the files of `folder`, PA before AP before unknown views; empty: none.
std::filesystem::path choose_xray(const std::filesystem::path& folder);

/// "P" and ten digits of a hash of the PatientID.
std::string hashed_patient(const std::string& patient, const FindOptions& options);

/// `wanted`, or with a number behind it when it is taken.
std::string unique_id(const std::string& wanted, std::set<std::string>& taken);

}  // namespace x2ctpa
