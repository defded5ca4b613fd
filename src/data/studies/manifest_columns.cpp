// Which columns of a manifest mean what.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/studies/manifest_rows.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/data/studies/column_names.h"
#include "x2ctpa/data/studies/volume_masks.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

using Columns = std::vector<std::string>;

const Columns& lidc_columns() {
  static const Columns columns{"Subject ID", "Modality", "File Location", "Series UID",
                               "Series Instance UID"};
  return columns;
}

const Columns& rspect_columns() {
  static const Columns columns{"StudyInstanceUID", "SeriesInstanceUID", "negative_exam_for_pe",
                               "indeterminate", "split"};
  return columns;
}

// The columns of a layout but those of its subgroups.
Columns own_columns(ManifestLayout layout, const ManifestOptions& options) {
  if (layout == ManifestLayout::lidc) return lidc_columns();
  if (layout == ManifestLayout::rspect) return rspect_columns();
  if (layout == ManifestLayout::tcia) return {"Subject ID", "Modality", "File Location"};
  if (layout == ManifestLayout::inspect)
    return {"impression_id",   "image_id",           "person_id",
            "pe_positive_nlp", options.label_column, "split"};
  if (layout == ManifestLayout::ct_rate) return {"VolumeName", "ConvolutionKernel", "ZSpacing"};
  if (layout == ManifestLayout::mids) return {"participant", "participant_id"};
  if (layout == ManifestLayout::accession)
    return {options.ct_column, options.cxr_column, options.label_column, options.patient_column,
            "split"};
  Columns columns{"id",
                  "patient_id",
                  "ct",
                  "cxr",
                  "cxr_lateral",
                  "mask",
                  "pe",
                  "split",
                  "cxr_centre_x_mm",
                  "cxr_centre_y_mm",
                  "cxr_centre_z_mm"};
  for (const std::string kind : mask_kinds) columns.push_back(kind + "_mask");
  return columns;
}

}  // namespace

std::vector<std::string> group_columns(ManifestLayout layout, const ManifestOptions& options) {
  if (!options.groups.empty()) return options.groups;
  if (layout == ManifestLayout::rspect)
    return {"qa_motion",
            "qa_contrast",
            "flow_artifact",
            "rv_lv_ratio_gte_1",
            "rv_lv_ratio_lt_1",
            "leftsided_pe",
            "rightsided_pe",
            "central_pe",
            "chronic_pe",
            "acute_and_chronic_pe",
            "true_filling_defect_not_pe"};
  if (layout == ManifestLayout::inspect) return {"pe_acute", "pe_subsegmentalonly"};
  return {};
}

ManifestLayout layout_of(const CsvTable& given, const ManifestOptions& options) {
  if (options.layout != ManifestLayout::automatic) return options.layout;
  const auto has = [&](const std::string& column) {
    CsvTable table(given.columns());
    table.match_columns({column});
    return table.has_column(column);
  };
  if (has("ct") || has("cxr")) return ManifestLayout::x2ctpa;
  if (has(options.ct_column) || has(options.cxr_column)) return ManifestLayout::accession;
  if (has("StudyInstanceUID") && has("SeriesInstanceUID")) return ManifestLayout::rspect;
  if (has("Subject ID") && has("Study UID") && has("Modality") && has("File Location"))
    return ManifestLayout::tcia;
  if (has("Subject ID")) return ManifestLayout::lidc;
  if (has("impression_id") && has("image_id")) return ManifestLayout::inspect;
  if (has("VolumeName")) return ManifestLayout::ct_rate;
  if (has("participant") || has("participant_id")) return ManifestLayout::mids;
  return ManifestLayout::x2ctpa;
}

void settle_columns(CsvTable& table, const fs::path& file, ManifestLayout layout,
                    const ManifestOptions& options) {
  Columns known = own_columns(layout, options);
  const Columns groups = group_columns(layout, options);
  known.insert(known.end(), groups.begin(), groups.end());
  // Tables of archives have many columns of their own, which resemble none of ours.
  const OtherColumns others = layout == ManifestLayout::x2ctpa
                                  ? settle_names(table, known)
                                  : OtherColumns{table.match_columns(known), {}};
  const std::string& doubts = others.doubts;
  const bool has_images = table.has_column("ct") || table.has_column("cxr");
  if (layout == ManifestLayout::x2ctpa && !has_images)
    throw Error(fmt::format(
        "{}: a manifest needs a column ct or cxr with the paths of its images; found {}{}",
        file.string(), fmt::join(table.columns(), ", "), doubts.empty() ? "" : "; " + doubts));
  tell_of(others, file);
}

}  // namespace x2ctpa
