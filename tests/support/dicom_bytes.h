// DICOM files made byte by byte (PS3.5, PS3.10), with whatever fault a test wants.
#pragma once

#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa::test {

enum class Syntax { implicit_little, explicit_little, explicit_big };

/// A data set under construction, and the file around it.
class DicomBytes {
 public:
  DicomBytes& text(uint32_t tag, const std::string& vr, std::string value) {
    if (value.size() % 2) value += vr == "UI" ? '\0' : ' ';
    elements_[tag] = {vr, value, {}};
    return *this;
  }
  DicomBytes& numbers(uint32_t tag, const std::vector<double>& values) {
    std::string all;
    for (double v : values) all += (all.empty() ? "" : "\\") + fmt::format("{:.10g}", v);
    return text(tag, "DS", all);
  }
  DicomBytes& word(uint32_t tag, uint16_t value) { return words(tag, "US", {value}); }
  DicomBytes& words(uint32_t tag, const std::string& vr, const std::vector<uint16_t>& values) {
    std::string bytes(values.size() * 2, '\0');
    for (size_t i = 0; i < values.size(); ++i) {
      bytes[2 * i] = char(values[i] & 0xFF);
      bytes[2 * i + 1] = char(values[i] >> 8);
    }
    elements_[tag] = {vr, bytes, {}};
    return *this;
  }
  DicomBytes& sequence(uint32_t tag, std::vector<DicomBytes> items) {
    elements_[tag] = {"SQ", "", std::move(items)};
    return *this;
  }
  DicomBytes& remove(uint32_t tag) {
    elements_.erase(tag);
    return *this;
  }

  /// The file: preamble, meta information and the elements in the order of their tags.
  std::string file(Syntax syntax = Syntax::explicit_little) const {
    const char* uids[] = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"};
    DicomBytes meta;
    meta.words(0x00020001, "OB", {0x0100});
    meta.text(0x00020010, "UI", uids[int(syntax)]);
    const std::string body = meta.data_set(Syntax::explicit_little);
    DicomBytes length;
    length.elements_[0x00020000] = {"UL", little(uint32_t(body.size()), 4), {}};
    return std::string(128, '\0') + "DICM" + length.data_set(Syntax::explicit_little) + body +
           data_set(syntax);
  }
  std::string data_set(Syntax syntax) const {
    std::string out;
    for (const auto& [tag, e] : elements_) out += element(tag, e, syntax);
    return out;
  }

 private:
  struct Element {
    std::string vr, bytes;
    std::vector<DicomBytes> items;
  };

  static std::string little(uint32_t value, int count) {
    std::string bytes;
    for (int i = 0; i < count; ++i) bytes += char(value >> (8 * i) & 0xFF);
    return bytes;
  }
  static std::string number(uint32_t value, int count, Syntax syntax) {
    std::string bytes = little(value, count);
    if (syntax == Syntax::explicit_big) std::reverse(bytes.begin(), bytes.end());
    return bytes;
  }
  static std::string tag_bytes(uint32_t tag, Syntax syntax) {
    return number(tag >> 16, 2, syntax) + number(tag & 0xFFFF, 2, syntax);
  }
  static std::string element(uint32_t tag, const Element& e, Syntax syntax) {
    std::string value = e.bytes;
    for (const auto& item : e.items) {
      const std::string inside = item.data_set(syntax);
      value += tag_bytes(0xFFFEE000, syntax) + number(uint32_t(inside.size()), 4, syntax) + inside;
    }
    if (syntax == Syntax::explicit_big && (e.vr == "US" || e.vr == "SS" || e.vr == "OW"))
      for (size_t i = 0; i + 1 < value.size(); i += 2) std::swap(value[i], value[i + 1]);
    const auto size = uint32_t(value.size());
    std::string head = tag_bytes(tag, syntax);
    if (syntax == Syntax::implicit_little) return head + number(size, 4, syntax) + value;
    head += e.vr;
    const bool is_long = e.vr == "OB" || e.vr == "OW" || e.vr == "SQ" || e.vr == "UN";
    return head +
           (is_long ? std::string(2, '\0') + number(size, 4, syntax) : number(size, 2, syntax)) +
           value;
  }

  std::map<uint32_t, Element> elements_;
};

/// A frontal X-ray of arbitrary pixels, as a detector writes it.
inline DicomBytes dicom_xray(int64_t rows = 40, int64_t columns = 32) {
  DicomBytes d;
  d.text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.1.1").text(0x00080018, "UI", "1.2.3.9.1");
  d.text(0x00080060, "CS", "DX").text(0x0020000d, "UI", "1.2.3.9").text(0x00185101, "CS", "PA");
  d.text(0x0020000e, "UI", "1.2.3.9.2");
  d.word(0x00280002, 1).text(0x00280004, "CS", "MONOCHROME2");
  d.word(0x00280010, uint16_t(rows)).word(0x00280011, uint16_t(columns));
  d.word(0x00280100, 16).word(0x00280101, 12).word(0x00280102, 11).word(0x00280103, 0);
  std::vector<uint16_t> pixels;
  for (int64_t i = 0; i < rows * columns; ++i) pixels.push_back(uint16_t(i * 7919 % 4096));
  return d.words(0x7FE00010, "OW", pixels);
}

/// CT slices out of a volume, as a scanner writes them.
struct CtMaker {
  Volume volume;
  std::string series_uid = "1.2.3.4", study_uid = "1.2.3", patient_id = "PATIENT-1";
  std::string description = "CHEST", image_type = "ORIGINAL\\PRIMARY\\AXIAL";
  std::string date = "20240229", time = "101500";
  double intercept = -1024;  ///< stored = HU - intercept, as uint16

  Vec3 position(int64_t k) const { return volume.point({0, 0, double(k)}); }
  std::vector<double> cosines() const {
    const Mat3& d = volume.direction;
    return {d[0][0], d[1][0], d[2][0], d[0][1], d[1][1], d[2][1]};
  }
  std::vector<uint16_t> stored(int64_t k) const {
    const auto hu = volume.hu[k].contiguous();
    std::vector<uint16_t> values(size_t(hu.numel()));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] =
          uint16_t(std::clamp(std::lround(hu.data_ptr<float>()[i] - intercept), 0l, 65535l));
    return values;
  }

  /// What slices and enhanced files have in common.
  DicomBytes common(const std::string& sop_class) const {
    DicomBytes d;
    d.text(0x00080008, "CS", image_type)
        .text(0x00080016, "UI", sop_class)
        .text(0x00080020, "DA", date);
    d.text(0x00080030, "TM", time)
        .text(0x00080050, "SH", "A" + patient_id)
        .text(0x00080060, "CS", "CT");
    d.text(0x0008103e, "LO", description).text(0x00100010, "PN", "Doe^" + patient_id);
    d.text(0x00100020, "LO", patient_id)
        .text(0x0020000d, "UI", study_uid)
        .text(0x0020000e, "UI", series_uid);
    d.word(0x00280002, 1).text(0x00280004, "CS", "MONOCHROME2");
    d.word(0x00280010, uint16_t(volume.hu.size(1))).word(0x00280011, uint16_t(volume.hu.size(2)));
    d.word(0x00280100, 16).word(0x00280101, 16).word(0x00280102, 15).word(0x00280103, 0);
    return d;
  }
  DicomBytes slice(int64_t k) const {
    DicomBytes d = common("1.2.840.10008.5.1.4.1.1.2");
    const Vec3 p = position(k);
    d.text(0x00080018, "UI", fmt::format("{}.{}", series_uid, k + 1))
        .text(0x00200013, "IS", std::to_string(k + 1));
    d.numbers(0x00200032, {p[0], p[1], p[2]}).numbers(0x00200037, cosines());
    d.numbers(0x00280030, {volume.spacing_mm[1], volume.spacing_mm[0]});
    d.numbers(0x00281052, {intercept}).numbers(0x00281053, {1});
    return d.words(0x7FE00010, "OW", stored(k));
  }
  /// Writes every slice for which `edit` returns true into `folder`.
  void write(const std::filesystem::path& folder,
             const std::function<bool(int64_t, DicomBytes&)>& edit = {},
             Syntax syntax = Syntax::explicit_little) const {
    for (int64_t k = 0; k < volume.hu.size(0); ++k) {
      DicomBytes d = slice(k);
      if (!edit || edit(k, d))
        write_file(folder / fmt::format("{}-{:03}.dcm", series_uid, k), d.file(syntax));
    }
  }
  /// One enhanced CT file with a frame per slice, in the order of `frames`.
  DicomBytes enhanced(const std::vector<int64_t>& frames) const {
    DicomBytes d = common("1.2.840.10008.5.1.4.1.1.2.1");
    d.text(0x00280008, "IS", std::to_string(frames.size()));
    std::vector<DicomBytes> items;
    std::vector<uint16_t> pixels;
    for (int64_t k : frames) {
      const Vec3 p = position(k);
      items.push_back(DicomBytes().sequence(
          0x00209113, {DicomBytes().numbers(0x00200032, {p[0], p[1], p[2]})}));
      const auto values = stored(k);
      pixels.insert(pixels.end(), values.begin(), values.end());
    }
    DicomBytes shared;
    shared.sequence(0x00209116, {DicomBytes().numbers(0x00200037, cosines())});
    shared.sequence(0x00289110, {DicomBytes().numbers(
                                    0x00280030, {volume.spacing_mm[1], volume.spacing_mm[0]})});
    shared.sequence(0x00289145,
                    {DicomBytes().numbers(0x00281052, {intercept}).numbers(0x00281053, {1})});
    d.sequence(0x52009229, {shared}).sequence(0x52009230, items);
    return d.words(0x7FE00010, "OW", pixels);
  }
};

}  // namespace x2ctpa::test
