// The functional groups of enhanced multi-frame CT (PS3.3 C.7.6.16): where each frame lies and how
// its values become HU.
#include <gdcmSequenceOfItems.h>

#include <optional>
#include <string>
#include <vector>

#include "imaging/dicom/dicom_slice.h"
#include "imaging/dicom/gdcm_dataset.h"

namespace x2ctpa {
namespace {

const gdcm::Tag plane_position(0x0020, 0x9113), plane_orientation(0x0020, 0x9116),
    pixel_measures(0x0028, 0x9110), value_transformation(0x0028, 0x9145),
    ct_frame_type(0x0018, 0x9329), frame_content(0x0020, 0x9111);

using Items = gdcm::SmartPointer<gdcm::SequenceOfItems>;

const gdcm::Tag shared_groups(0x5200, 0x9229), per_frame_groups(0x5200, 0x9230);

Items items_of(const gdcm::DataSet& data, const gdcm::Tag& tag) {
  if (!data.FindDataElement(tag)) return nullptr;
  return data.GetDataElement(tag).GetValueAsSQ();
}

// The functional groups of a file: those of each frame, which win, and those that all share.
class Groups {
 public:
  explicit Groups(const gdcm::DataSet& data)
      : shared_(items_of(data, shared_groups)), per_frame_(items_of(data, per_frame_groups)) {}

  bool any() const { return shared_ != nullptr || per_frame_ != nullptr; }

  // Numbers of an element of the macro `group` for one frame; empty when absent.
  std::vector<double> numbers(int64_t frame, const gdcm::Tag& group, uint16_t g, uint16_t e) const {
    std::vector<double> found;
    visit(frame, group, [&](const gdcm::DataSet& macro) {
      if (found.empty()) found = dicom_numbers(macro, g, e);
    });
    return found;
  }
  std::string text(int64_t frame, const gdcm::Tag& group, uint16_t g, uint16_t e) const {
    std::string found;
    visit(frame, group, [&](const gdcm::DataSet& macro) {
      if (found.empty()) found = dicom_text(macro, g, e);
    });
    return found;
  }
  std::optional<uint16_t> word(int64_t frame, const gdcm::Tag& group, uint16_t g,
                               uint16_t e) const {
    std::optional<uint16_t> found;
    visit(frame, group, [&](const gdcm::DataSet& macro) {
      if (!found) found = dicom_word(macro, g, e);
    });
    return found;
  }

 private:
  template <class F>
  void visit(int64_t frame, const gdcm::Tag& group, F use) const {
    const auto look = [&](const Items& items, int64_t item) {
      if (!items || item >= int64_t(items->GetNumberOfItems())) return;
      const auto macro = items_of(items->GetItem(item + 1).GetNestedDataSet(), group);
      if (macro && macro->GetNumberOfItems() > 0) use(macro->GetItem(1).GetNestedDataSet());
    };
    look(per_frame_, frame);
    look(shared_, 0);
  }

  Items shared_, per_frame_;
};

Rescale rescale_in(const Groups& groups, int64_t frame, const Rescale& of_file) {
  const auto slope = groups.numbers(frame, value_transformation, 0x0028, 0x1053);
  const auto intercept = groups.numbers(frame, value_transformation, 0x0028, 0x1052);
  Rescale rescale = of_file;
  if (!slope.empty() && slope[0] != 0) rescale.slope = slope[0];
  if (!intercept.empty()) rescale.intercept = intercept[0];
  rescale.known |= !intercept.empty();
  return rescale;
}

Rescale rescale_of_file(const gdcm::DataSet& data) {
  const auto slope = dicom_numbers(data, 0x0028, 0x1053),
             intercept = dicom_numbers(data, 0x0028, 0x1052);
  Rescale rescale;
  rescale.known = !intercept.empty();
  if (!slope.empty() && slope[0] != 0) rescale.slope = slope[0];
  if (!intercept.empty()) rescale.intercept = intercept[0];
  return rescale;
}

}  // namespace

std::vector<SliceHeader> frame_headers(const gdcm::DataSet& data, const SliceHeader& file_header) {
  const Groups groups(data);
  const Rescale of_file = rescale_of_file(data);
  std::vector<SliceHeader> slices(size_t(file_header.frames), file_header);
  for (int64_t f = 0; f < file_header.frames; ++f) {
    SliceHeader& slice = slices[f];
    slice.frame = f;
    slice.instance = f;
    slice.has_geometry = set_geometry(groups.numbers(f, plane_position, 0x0020, 0x0032),
                                      groups.numbers(f, plane_orientation, 0x0020, 0x0037),
                                      groups.numbers(f, pixel_measures, 0x0028, 0x0030), slice);
    slice.localizer |=
        groups.text(f, ct_frame_type, 0x0008, 0x9007).find("LOCALIZER") != std::string::npos;
    slice.acquisition = groups.word(f, frame_content, 0x0020, 0x9156).value_or(0);
    slice.has_rescale = rescale_in(groups, f, of_file).known;
  }
  return slices;
}

std::vector<Rescale> rescales_of(const gdcm::DataSet& data, int64_t frames) {
  const Rescale of_file = rescale_of_file(data);
  std::vector<Rescale> rescales(size_t(frames), of_file);
  const Groups groups(data);
  for (int64_t f = 0; groups.any() && f < frames; ++f) rescales[f] = rescale_in(groups, f, of_file);
  return rescales;
}

}  // namespace x2ctpa
