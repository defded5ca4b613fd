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

/// RSPECT's table: `StudyInstanceUID`, `SeriesInstanceUID`, `negative_exam_for_pe`, a row per image
/// or per series.
std::vector<Study> read_rspect_layout(const CsvTable& table, const std::filesystem::path& file,
                                      const InputOptions& options);

}  // namespace x2ctpa
