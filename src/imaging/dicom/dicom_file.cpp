#include "imaging/dicom/dicom_file.h"

#include <fmt/format.h>
#include <gdcmItem.h>
#include <gdcmSequenceOfItems.h>
#include <gdcmSmartPointer.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {

namespace fs = std::filesystem;

std::string make_uid(uint64_t seed, const std::string& name) {
  const uint64_t high = stream_seed(int64_t(seed), "uid/" + name);
  const uint64_t low = stream_seed(int64_t(high), name);
  return fmt::format("2.25.{}{:019}", (high >> 1) % 1000000000000000000ull + 1, low >> 1);
}

std::string decimal(double value) { return fmt::format("{:.10g}", value); }

std::string decimals(std::initializer_list<double> values) {
  std::string text;
  for (const double value : values) text += (text.empty() ? "" : "\\") + decimal(value);
  return text;
}

void DicomFile::text(uint16_t group, uint16_t element, gdcm::VR::VRType vr, std::string value) {
  if (value.size() % 2) value += vr == gdcm::VR::UI ? '\0' : ' ';
  bytes(group, element, vr, value.data(), value.size());
}

void DicomFile::number(uint16_t group, uint16_t element, uint16_t value, gdcm::VR::VRType vr) {
  const char raw[2] = {char(value & 0xFF), char(value >> 8)};
  bytes(group, element, vr, raw, 2);
}

void DicomFile::code(uint16_t group, uint16_t element, const std::string& value,
                     const std::string& scheme, const std::string& meaning) {
  gdcm::Item item;
  item.SetVLToUndefined();
  const auto insert = [&item](uint16_t number, gdcm::VR::VRType vr, std::string text) {
    if (text.size() % 2) text += ' ';
    gdcm::DataElement field(gdcm::Tag(0x0008, number));
    field.SetVR(vr);
    field.SetByteValue(text.data(), gdcm::VL(uint32_t(text.size())));
    item.GetNestedDataSet().Insert(field);
  };
  insert(0x0100, gdcm::VR::SH, value);
  insert(0x0102, gdcm::VR::SH, scheme);
  insert(0x0104, gdcm::VR::LO, meaning);
  const gdcm::SmartPointer<gdcm::SequenceOfItems> sequence = new gdcm::SequenceOfItems;
  sequence->SetLengthToUndefined();
  sequence->AddItem(item);
  gdcm::DataElement field(gdcm::Tag(group, element));
  field.SetVR(gdcm::VR::SQ);
  field.SetValue(*sequence);
  field.SetVLToUndefined();
  writer_.GetFile().GetDataSet().Replace(field);
}

void DicomFile::pixels(const std::vector<uint16_t>& values, int64_t rows, int64_t columns,
                       int bits) {
  number(0x0028, 0x0002, 1);
  number(0x0028, 0x0010, uint16_t(rows));
  number(0x0028, 0x0011, uint16_t(columns));
  number(0x0028, 0x0100, 16);
  number(0x0028, 0x0101, uint16_t(bits));
  number(0x0028, 0x0102, uint16_t(bits - 1));
  number(0x0028, 0x0103, 0);
  bytes(0x7fe0, 0x0010, gdcm::VR::OW, reinterpret_cast<const char*>(values.data()),
        values.size() * 2);
}

void DicomFile::slice_geometry(const Volume& volume, int64_t k) {
  using gdcm::VR;
  const Vec3 corner = volume.point({0, 0, double(k)});
  const Mat3& d = volume.direction;
  text(0x0018, 0x0050, VR::DS, decimal(volume.spacing_mm[2]));
  text(0x0020, 0x0032, VR::DS, decimals({corner[0], corner[1], corner[2]}));
  text(0x0020, 0x0037, VR::DS, decimals({d[0][0], d[1][0], d[2][0], d[0][1], d[1][1], d[2][1]}));
  text(0x0020, 0x1041, VR::DS, decimal(corner[2]));
  text(0x0028, 0x0030, VR::DS, decimals({volume.spacing_mm[1], volume.spacing_mm[0]}));
}

void DicomFile::write(const fs::path& path, const char* storage, const std::string& instance) {
  text(0x0008, 0x0016, gdcm::VR::UI, storage);
  text(0x0008, 0x0018, gdcm::VR::UI, instance);
  gdcm::FileMetaInformation& header = writer_.GetFile().GetHeader();
  header.SetDataSetTransferSyntax(gdcm::TransferSyntax::ExplicitVRLittleEndian);
  // Through memory: where a write fails, Debian's GDCM ends the program by an assertion.
  std::ostringstream whole;
  writer_.SetStream(whole);
  if (!writer_.Write()) throw Error("writing " + path.string() + ": GDCM cannot make the file.");
  errno = 0;
  std::ofstream stream(path, std::ios::binary);
  stream << whole.view();
  stream.close();
  if (!stream)
    throw Error(fmt::format(
        "writing {}: {}. The file is not whole. Make room on the disk, or choose a folder that you "
        "may write to.",
        path.string(), std::strerror(errno != 0 ? errno : EIO)));
}

void DicomFile::bytes(uint16_t group, uint16_t element, gdcm::VR::VRType vr, const char* data,
                      size_t size) {
  gdcm::DataElement field(gdcm::Tag(group, element));
  field.SetVR(vr);
  field.SetByteValue(data, gdcm::VL(uint32_t(size)));
  writer_.GetFile().GetDataSet().Replace(field);
}

void make_dicom_folder(const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code)
    throw Error("making the folder " + folder.string() + ": " + code.message() +
                ". Choose a folder that you may write to.");
}

void check_dicom_sides(int64_t rows, int64_t columns, const fs::path& path) {
  if (rows >= 1 && columns >= 1 && rows <= 65535 && columns <= 65535) return;
  throw Error(
      fmt::format("writing {}: DICOM holds pictures of 1 to 65535 rows and columns; found "
                  "{} x {}.",
                  path.string(), rows, columns));
}

}  // namespace x2ctpa
