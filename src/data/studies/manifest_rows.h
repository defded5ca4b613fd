// Rows of a manifest, and its layouts other than paths.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/data/studies/manifest.h"

namespace x2ctpa {

/// One row with its place, for messages.
struct ManifestRow {
  const CsvTable& table;
  size_t index;
  const std::filesystem::path& file;

  std::string get(const std::string& column) const { return table.get(index, column); }
  [[noreturn]] void fail(const std::string& column, const std::string& expected) const;
  /// Throws Error for what is neither a number nor empty.
  std::optional<double> number(const std::string& column) const;
  /// 0, 1 or nothing for an empty field or "unknown". Throws Error for anything else.
  std::optional<int> label(const std::string& column) const;
};

/// The layout that the options name, else the one that the columns tell, whatever their case.
ManifestLayout layout_of(const CsvTable& table, const ManifestOptions& options);

/// The columns that cases keep for subgroups: those of the options, else the layout's own.
std::vector<std::string> group_columns(ManifestLayout layout, const ManifestOptions& options);

/// Brings the columns of `layout` to their names, whatever case they are given in. Columns that are
/// not read are listed in one line, and those that look like one that is missing are named.
void settle_columns(CsvTable& table, const std::filesystem::path& file, ManifestLayout layout,
                    const ManifestOptions& options);

/// Accession numbers of CT and X-ray (the layout of arXiv 2406.16109's tables): a folder or file
/// below the images' folder with that name, else the DICOM images whose headers hold that number.
std::vector<Study> read_accession_layout(const CsvTable& table, const std::filesystem::path& file,
                                         const InputOptions& options);

/// LIDC-IDRI's table from TCIA: `Subject ID`, `Modality`, `File Location`; or `Subject ID` alone.
std::vector<Study> read_lidc_layout(const CsvTable& table, const std::filesystem::path& file,
                                    const InputOptions& options);

/// INSPECT's study_mapping_*.tsv: `impression_id`, `image_id`, `person_id`; labels_*.tsv and
/// splits_*.tsv beside it are joined by `impression_id`. Labels are True, False or Censored.
std::vector<Study> read_inspect_layout(const CsvTable& table, const std::filesystem::path& file,
                                       const InputOptions& options);

/// CT-RATE's metadata: `VolumeName`, `ConvolutionKernel`, `ZSpacing`, a row per reconstruction. Of
/// each scan the one is taken whose kernel stands first in options.series.kernels, then the finer
/// one, then the first.
std::vector<Study> read_ct_rate_layout(const CsvTable& table, const std::filesystem::path& file,
                                       const InputOptions& options);

/// TCIA's metadata.csv: `Subject ID`, `Modality`, `File Location`. Series are chosen and X-rays
/// paired by the headers, as in a folder, but patients are the subjects.
std::vector<Study> read_tcia_layout(const CsvTable& table, const std::filesystem::path& file,
                                    const InputOptions& options);

/// The participants.tsv of a set in MIDS: `participant`. CTs and X-rays of the sessions of one
/// participant are paired by the dates in its sessions.tsv.
std::vector<Study> read_mids_layout(const CsvTable& table, const std::filesystem::path& file,
                                    const InputOptions& options);

/// RSPECT's table: `StudyInstanceUID`, `SeriesInstanceUID`, `negative_exam_for_pe`, a row per image
/// or per series.
std::vector<Study> read_rspect_layout(const CsvTable& table, const std::filesystem::path& file,
                                      const InputOptions& options);

}  // namespace x2ctpa
