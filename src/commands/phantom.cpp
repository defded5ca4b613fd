// x2ctpa phantom: a folder of simulated patients.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <array>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "x2ctpa/commands/command.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/projection_geometry.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/studies/volume_masks.h"
#include "x2ctpa/imaging/dicom/dicom_write.h"
#include "x2ctpa/imaging/phantom/phantom.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string>& manifest_columns() {
  static const std::vector<std::string> columns = {"id",
                                                   "patient_id",
                                                   "ct",
                                                   "cxr",
                                                   "pe",
                                                   "cxr_centre_x_mm",
                                                   "cxr_centre_y_mm",
                                                   "cxr_centre_z_mm",
                                                   "embolus_ml",
                                                   "main_pa_hu",
                                                   "aorta_hu",
                                                   "cardiothoracic_ratio",
                                                   "signs"};
  return columns;
}

std::vector<std::string> manifest_row(const std::string& id, const Phantom& patient) {
  const auto number = [](double value) { return fmt::format("{:.3f}", value); };
  const PhantomTruth& truth = patient.truth;
  const Vec3& centre = patient.cxr_centre_mm;
  return {id,
          id,
          id + "/ct",
          id + "/cxr.dcm",
          truth.pe ? "1" : "0",
          number(centre[0]),
          number(centre[1]),
          number(centre[2]),
          number(truth.embolus_ml),
          number(truth.main_pa_hu),
          number(truth.aorta_hu),
          number(truth.cardiothoracic_ratio),
          truth.signs()};
}

class PhantomCommand : public Command {
 public:
  std::string name() const override { return "phantom"; }
  std::string help() const override {
    return "Make simulated patients: CTPA and chest X-ray as DICOM, with known truth.";
  }
  std::vector<std::string> sections() const override { return {"phantom"}; }
  std::vector<std::pair<std::string, std::string>> shortcuts() const override {
    return {{"patients", "phantom.patients"}};
  }
  std::vector<std::string> examples() const override {
    return {"x2ctpa phantom --config demo --run runs/demo",
            "x2ctpa phantom --out patients --patients 12"};
  }
  void add_flags(CLI::App& app) override {
    app.add_option("--out", out_, "Folder for the patients (default: <run>/phantom).");
  }

  ExitCode run(CommandContext& context) override {
    const PhantomOptions& options = context.experiment.phantom;
    const int64_t seed = context.experiment.runtime.seed;
    const fs::path out = out_.empty() ? context.run / "phantom" : fs::path(out_);
    claim_folder(out, options, seed);
    remove_partial_files(out);
    std::vector<std::string> columns = manifest_columns();
    if (options.lateral) columns.push_back("cxr_lateral");
    if (options.write_masks)
      for (const char* kind : mask_kinds) columns.push_back(fmt::format("{}_mask", kind));
    CsvTable manifest(columns);
    Progress progress("simulating patients", options.patients);
    for (int64_t index = 0; index < options.patients; ++index) {
      stop_if_interrupted();
      const fs::path folder = out / phantom_id(index);
      if (!fs::exists(folder)) write_patient(folder, options, seed, index);
      const CsvTable truth = CsvTable::read(folder / "truth.csv");
      std::vector<std::string> row;
      for (const std::string& column : manifest_columns()) row.push_back(truth.at(0, column));
      if (options.lateral) row.push_back(folder.filename().string() + "/" + lateral_name);
      if (options.write_masks) add_mask_columns(row, folder);
      manifest.add(row);
      progress.advance();
    }
    progress.finish();
    manifest.write(out / "manifest.csv");
    log_info("{} in {}", counted(options.patients, "patient"), out.string());
    return ExitCode::ok;
  }

 private:
  // Patients of other options must not mix with these: the folder remembers what made it.
  static void claim_folder(const fs::path& out, PhantomOptions options, int64_t seed) {
    options.patients = 1;  // more patients may be added to a folder
    const std::string made_by = options_to_yaml(options) + fmt::format("seed: {}\n", seed);
    const fs::path file = out / "phantom.yaml";
    if (fs::exists(file) && read_file(file) != made_by)
      throw Error("simulating patients into " + out.string() +
                  ": the folder holds patients of "
                  "another seed or other options (" +
                  file.string() +
                  "). Delete the folder or "
                  "give another --out.");
    if (!fs::exists(file)) write_file(file, made_by);
  }

  static constexpr const char* lateral_name = "cxr_lateral.dcm";

  static std::string mask_name(const char* kind) { return fmt::format("{}_mask.nii.gz", kind); }

  // Patients of 0.1.0 have no mask of the lungs.
  static void add_mask_columns(std::vector<std::string>& row, const fs::path& folder) {
    for (const char* kind : mask_kinds) {
      const bool there = fs::exists(folder / mask_name(kind));
      row.push_back(there ? folder.filename().string() + "/" + mask_name(kind) : "");
    }
  }

  // Writes beside `folder` and renames, so that a folder that exists is complete.
  static void write_patient(const fs::path& folder, const PhantomOptions& options, int64_t seed,
                            int64_t index) {
    const std::string id = phantom_id(index);
    const Phantom patient = make_phantom(options, seed, index);
    const fs::path beside = partial_path(folder);
    CxrTags tags;
    tags.patient_id = id;
    tags.sex = patient.truth.female ? "F" : "M";
    tags.uid_seed = stream_seed(seed, "phantom/uid/" + id);
    write_ct_series(patient.ct, beside / "ct", tags);
    // From a stream of its own, so that the share does not change the patients.
    tags.mono1 =
        double(stream_seed(seed, "phantom/mono1/" + id) >> 11) * 0x1p-53 < options.mono1_fraction;
    tags.pixel_spacing_mm = ProjectionGeometry().detector_mm / double(options.cxr_size);
    write_cxr(patient.cxr, beside / "cxr.dcm", tags);
    if (options.lateral) {
      tags.view = CxrView::lateral;
      write_cxr(patient.cxr_lateral, beside / lateral_name, tags);
    }
    if (options.write_masks) {
      Volume mask = patient.ct;
      const std::array voxels{patient.lung_mask, patient.artery_mask, patient.embolus_mask};
      for (size_t i = 0; i < mask_kinds.size(); ++i) {
        mask.hu = voxels[i].to(torch::kFloat);
        write_nifti(mask, beside / mask_name(mask_kinds[i]),
                    fmt::format("SYNTHETIC {} mask, x2ctpa phantom", mask_kinds[i]));
      }
    }
    CsvTable truth(manifest_columns());
    truth.add(manifest_row(id, patient));
    truth.write(beside / "truth.csv");
    std::error_code code;
    fs::rename(beside, folder, code);
    if (code)
      throw Error("renaming " + beside.string() + " to " + folder.string() + ": " + code.message());
  }

  std::string out_;
};

}  // namespace

std::unique_ptr<Command> make_phantom_command() { return std::make_unique<PhantomCommand>(); }

}  // namespace x2ctpa
