// What kind of file a path names, by its ending. Endings count in any case, and .nii.gz is one.
#pragma once

#include <filesystem>
#include <string>

namespace x2ctpa {

/// The ending of the file's name in lower case with its dot, that before .gz with it (".nii.gz",
/// ".tar.gz"); empty: none.
std::string file_ending(const std::filesystem::path& file);

/// The file's name, as it is spelled, without its ending.
std::string file_stem(const std::filesystem::path& file);

/// A CT or another volume in one file: NIfTI, NRRD or MetaImage.
bool is_volume_file(const std::filesystem::path& file);

/// A picture that may be an X-ray: PNG, JPEG or TIFF.
bool is_picture_file(const std::filesystem::path& file);

/// A file that says to be DICOM. Most DICOM files of hospitals have no ending and say it within.
bool is_dicom_named(const std::filesystem::path& file);

/// Several files in one: ZIP or tar.
bool is_archive_file(const std::filesystem::path& file);

/// The endings of volumes, and of X-rays (DICOM and pictures), for error texts: ".nii, .nii.gz".
std::string volume_endings();
std::string xray_endings();

}  // namespace x2ctpa
