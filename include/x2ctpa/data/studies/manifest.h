// Which studies there are: a manifest, or folders and archives to search.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/data/studies/input_options.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

struct DicomSeries;
class Unpacked;

/// One CT, one chest X-ray, or a pair of them, before anything was read.
struct Study {
  std::string id;  ///< unique; letters, digits, '.', '_' and '-' only
  std::string patient_id;
  std::filesystem::path ct;           ///< volume file or DICOM folder; empty: none
  std::filesystem::path cxr;          ///< DICOM or picture file; empty: none
  std::filesystem::path cxr_lateral;  ///< the same of the other view
  std::filesystem::path
      mask;  ///< volume file: the lungs, or another region, in the CT; empty: none
  std::map<std::string, std::filesystem::path> masks;  ///< for evaluation, by kind (volume_masks.h)
  std::optional<int> pe;                               ///< 0, 1, or unknown
  std::string split;                          ///< "train", "val", "test", or empty: to be chosen
  std::map<std::string, std::string> groups;  ///< by column: what subgroups are made of
  /// The LPS point that the central ray passes through, for X-rays simulated from this CT.
  std::optional<Vec3> cxr_centre_mm;

  std::string ct_series_uid;  ///< the series wanted in the folder `ct`; empty: by the rule
  std::shared_ptr<const DicomSeries> ct_series;  ///< chosen while searching; null: chosen when read
  std::vector<std::string> notes;  ///< what was chosen, passed over and paired; without identifiers
  std::string refused_code, refused;  ///< why it cannot be used, when that is known already
  std::vector<std::shared_ptr<const Unpacked>> archives;  ///< keep the files that come out of them
};

/// `text` with paths of unpacked files given as "<archive>!/<path within>", and with bytes that are
/// no UTF-8 as core/utf8.h writes them.
std::string as_given(const Study& study, std::string text);

/// The most characters of an id.
inline constexpr size_t longest_id = 160;

/// `text` as a safe file name of letters, digits, '.', '_' and '-' in ASCII: Latin and Cyrillic
/// letters are transliterated ("ä" becomes "ae"), those of other scripts become their code points
/// ("u80F8"), bytes that are no UTF-8 "xE4", and every other character becomes '_'. What is longer
/// than longest_id ends with eight digits of its SHA-256.
std::string safe_id(const std::string& text);

/// The rows of a CSV in one of the layouts of docs/files.md ("x2ctpa", "accession", "lidc",
/// "rspect", "inspect", "tcia", "ct-rate", "mids"), told by its columns unless the options say
/// which.
/// Throws Error naming file and row for a missing column, a doubtful value or an id given twice.
std::vector<Study> read_manifest(const std::filesystem::path& file,
                                 const InputOptions& options = {});

/// The studies at `path`: a volume file, an X-ray file, an archive (.zip, .tar, .tar.gz), a folder
/// with a manifest.csv, or a folder of any of these at any depth.
///
/// DICOM files are grouped by their headers into patients, studies and series, whatever folders
/// they lie in; of each study one CT series is chosen by options.series. CT and X-ray of one
/// patient within options.find.pair_hours are a pair, the nearest first; without dates, when there
/// is one of each. What has no such headers goes by folders: one CT and one X-ray in or below a
/// folder are a pair, unless headers say that they are of two patients or too far apart in time.
/// Patients get ids from a hash of their PatientID, others from the folder directly below `path`.
/// Studies are in order of their paths, with ids from these, in which identifiers that headers hold
/// are replaced by the patient's hash.
std::vector<Study> find_studies(const std::filesystem::path& path,
                                const InputOptions& options = {});

/// The X-rays at and below `folder`, in order of their paths, told from CTs and other DICOM files
/// as find_studies tells them. What is passed over is logged in one line. Hidden files do not
/// count.
std::vector<std::filesystem::path> find_xrays(const std::filesystem::path& folder);

/// The studies of several manifests (*.csv, *.tsv), folders, archives and files, with ids made
/// unique across them; a path without a study is passed over with a warning. Throws
/// Error(ExitCode::no_data) when a path does not exist or none holds a study.
std::vector<Study> read_inputs(const std::vector<std::filesystem::path>& inputs,
                               const InputOptions& options = {});

}  // namespace x2ctpa
