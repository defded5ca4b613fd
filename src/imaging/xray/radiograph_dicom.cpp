#include "imaging/xray/radiograph_dicom.h"

#include <fmt/format.h>
#include <gdcmSequenceOfItems.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "imaging/dicom/gdcm_dataset.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// A lookup table of the modality or VOI LUT sequence.
struct LookupTable {
  at::Tensor values;  // float (n)
  double first = 0;   // input that maps to the first value
  int64_t bits = 16;
};

// The table of a descriptor (entries, first input, bits) and its words; nothing where they are too
// few.
std::optional<LookupTable> table_of(const std::vector<uint16_t>& descriptor,
                                    const std::vector<uint16_t>& words, bool signed_input) {
  const size_t count = descriptor[0] == 0 ? 65536 : descriptor[0];
  LookupTable table;
  table.bits = std::clamp<int64_t>(descriptor[2], 1, 16);
  table.first = signed_input ? int16_t(descriptor[1]) : descriptor[1];
  std::vector<float> values;
  if (words.size() >= count) {
    values.assign(words.begin(), words.begin() + std::ptrdiff_t(count));
  } else if (2 * words.size() >= count) {  // two 8-bit entries in a word
    for (uint16_t word : words) {
      values.push_back(float(word & 0xff));
      values.push_back(float(word >> 8));
    }
  } else {
    return std::nullopt;
  }
  table.values = torch::tensor(values);
  return table;
}

std::optional<LookupTable> lookup_table(const gdcm::DataSet& data, uint16_t element,
                                        bool signed_input) {
  const gdcm::Tag tag(0x0028, element);
  if (!data.FindDataElement(tag)) return std::nullopt;
  const auto items = data.GetDataElement(tag).GetValueAsSQ();
  if (!items || items->GetNumberOfItems() < 1) return std::nullopt;
  const gdcm::DataSet& item = items->GetItem(1).GetNestedDataSet();
  const auto descriptor = dicom_words(item, 0x0028, 0x3002);
  if (descriptor.size() != 3) return std::nullopt;
  return table_of(descriptor, dicom_words(item, 0x0028, 0x3006), signed_input);
}

at::Tensor look_up(const LookupTable& table, const at::Tensor& x) {
  const auto index = (x - table.first).round().clamp(0, double(table.values.numel() - 1));
  return table.values.index_select(0, index.reshape(-1).to(torch::kLong)).reshape(x.sizes());
}

// Values between the 0.5 and 99.5 percentile of what is not padding, as [0, 1].
at::Tensor percentile_range(const at::Tensor& x, const at::Tensor& padding) {
  at::Tensor known = padding.defined() ? x.masked_select(padding.logical_not()) : x.reshape(-1);
  if (known.numel() == 0) return torch::zeros_like(x);
  const int64_t stride = 1 + known.numel() / 4'000'000;
  known = known.slice(0, 0, known.numel(), stride);
  const auto rank = [&](double q) {
    return std::clamp<int64_t>(std::llround(q * double(known.numel())), 1, known.numel());
  };
  const double low = std::get<0>(known.kthvalue(rank(0.005))).item<float>();
  const double high = std::get<0>(known.kthvalue(rank(0.995))).item<float>();
  if (!(high > low)) return torch::zeros_like(x);
  return ((x - low) / (high - low)).clamp(0, 1);
}

// The VOI window of PS3.3 C.11.2.1.2.
at::Tensor apply_window(const at::Tensor& x, double centre, double width,
                        const std::string& function) {
  if (function == "SIGMOID") return torch::sigmoid(4 * (x - centre) / width);
  if (function == "LINEAR_EXACT" || width <= 1) return ((x - centre) / width + 0.5).clamp(0, 1);
  return ((x - (centre - 0.5)) / (width - 1) + 0.5).clamp(0, 1);
}

// Modality values to [0, 1] as the file wants them shown; by percentiles where it says nothing
// usable.
at::Tensor apply_voi(const gdcm::DataSet& data, const at::Tensor& x, const at::Tensor& padding,
                     bool signed_input, Radiograph& xray) {
  at::Tensor shown;
  if (const auto table = lookup_table(data, 0x3010, signed_input)) {
    const double top = std::ldexp(1.0, int(table->bits)) - 1;
    shown = (look_up(*table, x) / top).clamp(0, 1);
  } else {
    const auto centre = dicom_numbers(data, 0x0028, 0x1050),
               width = dicom_numbers(data, 0x0028, 0x1051);
    if (!centre.empty() && !width.empty() && width[0] > 0)
      shown = apply_window(x, centre[0], width[0], dicom_text(data, 0x0028, 0x1056));
  }
  if (!shown.defined()) return percentile_range(x, padding);
  const double inside = (shown > 0).logical_and(shown < 1).to(torch::kFloat).mean().item<float>();
  if (inside < 0.05) {
    xray.warn("window",
              "its display window leaves almost no pixel visible; the 0.5 to 99.5 percentile range "
              "is used");
    return percentile_range(x, padding);
  }
  return shown;
}

void check_modality(const fs::path& file, const std::string& modality, Radiograph& xray) {
  static const std::set<std::string> xrays{"", "CR", "DX", "RF", "RG", "XA", "OT", "SC"};
  static const std::set<std::string> sections{"CT", "MR", "PT", "NM", "US", "SEG", "RTDOSE"};
  if (sections.contains(modality))
    throw Error(fmt::format("{}: expected an X-ray (modality CR, DX or RF), found modality {}.",
                            file.string(), modality));
  if (!xrays.contains(modality))
    xray.warn("not-chest", fmt::format("not a chest X-ray? its modality is {}", modality));
}

std::string upper_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  return text;
}

// The first of `words` that `text` holds; empty when none.
template <size_t count>
std::string word_in(const std::string& text, const std::array<const char*, count>& words) {
  for (const char* word : words)
    if (text.find(word) != std::string::npos) return word;
  return {};
}

// The stated rule: the body part, else the descriptions, name something that is no chest; the view
// position or the orientation is lateral.
void add_header_warnings(const gdcm::DataSet& data, Radiograph& xray) {
  static constexpr std::array chest{"CHEST", "THORA", "TORAX", "LUNG", "RIB"};
  static constexpr std::array elsewhere{"TEETH", "DENTAL", "PANORAM", "MANDIB", "SKULL", "KNEE",
                                        "WRIST", "HAND",   "FOOT",    "ANKLE",  "PELVI", "ABDOM",
                                        "ELBOW", "FEMUR",  "LUMBAR",  "MAMMO"};
  const std::string body_part = dicom_text(data, 0x0018, 0x0015);
  const std::string descriptions =
      upper_case(dicom_text(data, 0x0008, 0x1030) + " " + dicom_text(data, 0x0008, 0x103e) + " " +
                 dicom_text(data, 0x0018, 0x1030));
  if (!body_part.empty()) {
    if (word_in(upper_case(body_part), chest).empty())
      xray.warn("not-chest", fmt::format("not a chest X-ray? its body part is {}", body_part));
  } else if (const auto word = word_in(descriptions, elsewhere);
             !word.empty() && word_in(descriptions, chest).empty()) {
    xray.warn("not-chest", fmt::format("not a chest X-ray? its description names {}", word));
  }
  const std::string view = dicom_text(data, 0x0018, 0x5101);
  const std::string orientation = dicom_text(data, 0x0020, 0x0020);
  const auto named = view_of_position(view);
  if (named == CxrView::lateral || orientation.starts_with("A") || orientation.starts_with("P")) {
    xray.view = "lateral";
    if (orientation.starts_with("P")) xray.facing = "left";
    if (orientation.starts_with("A")) xray.facing = "right";
    xray.warn("lateral", "a lateral view; a frontal (PA or AP) one is expected");
  } else if (named) {
    xray.view = "frontal";
  }
}

// Hung as an X-ray is: patient right on the left, head up, where the header says how it lies.
at::Tensor hang(const gdcm::DataSet& data, at::Tensor pixels) {
  const std::string orientation = dicom_text(data, 0x0020, 0x0020);
  const auto separator = orientation.find('\\');
  if (separator == std::string::npos) return pixels;
  if (orientation.starts_with("R")) pixels = pixels.flip({1});
  if (orientation.substr(separator + 1).starts_with("H")) pixels = pixels.flip({0});
  return pixels;
}

at::Tensor colour_to_grey(const at::Tensor& stored, const std::string& photometric, int64_t bits) {
  const double top = std::ldexp(1.0, int(std::clamp<int64_t>(bits, 1, 16))) - 1;
  const auto x = (stored / top).clamp(0, 1);
  if (photometric.starts_with("YBR")) return x.select(2, 0).contiguous();
  return (0.299 * x.select(2, 0) + 0.587 * x.select(2, 1) + 0.114 * x.select(2, 2)).contiguous();
}

// The luminance of a palette's colours (PS3.3 C.7.6.3.1.5).
at::Tensor palette_to_grey(const gdcm::DataSet& data, const at::Tensor& index,
                           const fs::path& file) {
  constexpr std::array share{0.299, 0.587, 0.114};
  at::Tensor grey = torch::zeros_like(index);
  for (uint16_t colour = 0; colour < 3; ++colour) {
    const auto descriptor = dicom_words(data, 0x0028, 0x1101 + colour);
    const auto words = dicom_words(data, 0x0028, 0x1201 + colour);
    const auto table = descriptor.size() == 3 ? table_of(descriptor, words, false) : std::nullopt;
    if (!table)
      throw Error(
          fmt::format("{}: a palette-colour image without a whole palette.", file.string()));
    const double top = std::ldexp(1.0, int(table->bits)) - 1;
    grey += share[colour] * (look_up(*table, index) / top).clamp(0, 1);
  }
  return grey;
}

void set_spacing(const gdcm::DataSet& data, Radiograph& xray) {
  auto spacing = dicom_numbers(data, 0x0018, 0x1164);  // at the detector
  if (spacing.size() != 2) spacing = dicom_numbers(data, 0x0028, 0x0030);
  if (spacing.size() == 2 && spacing[0] > 0 && spacing[1] > 0)
    xray.spacing_mm = {spacing[0], spacing[1]};
}

}  // namespace

Radiograph read_dicom_radiograph(const fs::path& file) {
  DicomReader reader;
  read_dicom_image(file, reader);
  const auto& data = reader.GetFile().GetDataSet();
  Radiograph xray;
  xray.modality = dicom_text(data, 0x0008, 0x0060);
  check_modality(file, xray.modality, xray);
  add_header_warnings(data, xray);
  xray.photometric = reader.GetImage().GetPhotometricInterpretation().GetString();
  while (!xray.photometric.empty() && xray.photometric.back() == ' ') xray.photometric.pop_back();
  xray.bits = reader.GetImage().GetPixelFormat().GetBitsStored();
  const at::Tensor stored = decode_first_frame(file, reader);
  if (xray.photometric.starts_with("PALETTE")) {
    xray.pixels = hang(data, palette_to_grey(data, stored.select(2, 0), file)).contiguous();
    set_spacing(data, xray);
    return xray;
  }
  if (stored.size(2) >= 3) {
    xray.warn("not-chest", "not a chest X-ray? it is a colour image");
    xray.pixels = hang(data, colour_to_grey(stored, xray.photometric, xray.bits)).contiguous();
    set_spacing(data, xray);
    return xray;
  }
  const auto grey = stored.select(2, 0).nan_to_num(0, 0, 0).contiguous();
  const auto padding = padding_mask(data, grey);
  const bool signed_input = reader.GetImage().GetPixelFormat().GetPixelRepresentation() == 1;
  at::Tensor x = grey;
  bool signed_output = signed_input;
  if (const auto table = lookup_table(data, 0x3000, signed_input)) {
    x = look_up(*table, grey);
    signed_output = false;
  } else {
    const auto slope = dicom_numbers(data, 0x0028, 0x1053),
               intercept = dicom_numbers(data, 0x0028, 0x1052);
    x = grey * (slope.empty() || slope[0] == 0 ? 1.0 : slope[0]) +
        (intercept.empty() ? 0.0 : intercept[0]);
    signed_output = signed_input || (!intercept.empty() && intercept[0] < 0);
  }
  x = apply_voi(data, x, padding, signed_output, xray);
  xray.inverted = xray.photometric == "MONOCHROME1";
  if (xray.inverted) x = 1 - x;
  if (padding.defined()) x = x.masked_fill(padding, 0);
  xray.pixels = hang(data, x).contiguous();
  set_spacing(data, xray);
  if (reader.GetImage().GetNumberOfDimensions() > 2 && reader.GetImage().GetDimension(2) > 1)
    xray.warn("frames",
              fmt::format("the first of {} frames is used", reader.GetImage().GetDimension(2)));
  return xray;
}

}  // namespace x2ctpa
