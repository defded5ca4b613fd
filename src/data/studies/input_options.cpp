#include "x2ctpa/data/studies/input_options.h"

namespace x2ctpa {

void FindOptions::describe(OptionList& options) {
  options.add(
      "pair_hours", &pair_hours,
      "Largest time between a CT and an X-ray of one patient that are paired by date, in hours.",
      {.min = 0});
  options.add("archive_gb", &archive_gb,
              "Largest size of an archive once unpacked, in GB; larger ones are refused.",
              {.min = 1, .max = 1'000'000});
  options.add("archive_files", &archive_files, "Largest number of files in an archive.",
              {.min = 1});
  options.add("salt", &salt,
              "Secret text that goes into the hashes of PatientIDs; without it, who knows a "
              "PatientID can find its hash.");
}

void ManifestOptions::describe(OptionList& options) {
  options.add("layout", &layout,
              "Layout of a manifest: paths (x2ctpa), accession numbers, or the table of LIDC-IDRI, "
              "RSPECT, INSPECT, TCIA, CT-RATE or a set in MIDS; auto: told by its columns.");
  options.add(
      "images", &images,
      "Folder that holds the images of a manifest without paths; empty: the manifest's own.");
  options.add("ct_column", &ct_column, "Column of the CT's accession number.");
  options.add("cxr_column", &cxr_column, "Column of the X-ray's accession number.");
  options.add("label_column", &label_column,
              "Column of the PE label in a manifest of accession numbers and in INSPECT's labels, "
              "where PE stands for pe_positive_nlp.");
  options.add("patient_column", &patient_column,
              "Column of the patient in a manifest of accession numbers; where absent, PatientIDs "
              "of the headers serve.");
  options.add(
      "groups", &groups,
      "Columns that cases keep, by which evaluate divides them; empty: the layout's (RSPECT "
      "and INSPECT have some).");
  options.add("label_inverted", &label_inverted, "The label column holds 1 for no PE.");
}

void InputOptions::describe(OptionList& options) {
  options.add("views", &views,
              "The X-rays of a patient: frontal alone, or both, frontal and lateral, of which "
              "either may be missing.",
              {}, std::string(word_of(CxrViews::frontal)));
  options.section("series", series);
  options.section("find", find);
  options.section("manifest", manifest);
}

}  // namespace x2ctpa
