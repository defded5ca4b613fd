#include "imaging/files/image_file.h"

#include <fmt/format.h>
#include <gdcmTrace.h>
#include <itkFloatingPointExceptions.h>
#include <itkIOCommon.h>
#include <itkMetaDataObject.h>
#include <itkMetaImageIO.h>
#include <itkNiftiImageIO.h>
#include <itkNrrdImageIO.h>
#include <itkObject.h>
#include <itkTIFFImageIO.h>
#include <tiffio.h>
#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <optional>

#include "imaging/files/jpeg_file.h"
#include "imaging/files/meta_image_header.h"
#include "imaging/files/picture_checks.h"
#include "imaging/files/picture_turn.h"
#include "imaging/files/png_file.h"
#include "imaging/files/volume_file_size.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

using itk::IOComponentEnum;
namespace fs = std::filesystem;

// The NIfTI library opens .nii and .NII, but nothing in between.
void refuse_mixed_case(const fs::path& file) {
  const std::string name = file.filename().string();
  const std::string end = name.substr(file_stem(file).size());
  const auto has = [&end](int (*is)(int)) {
    return std::any_of(end.begin(), end.end(), [is](unsigned char c) { return is(c) != 0; });
  };
  if (has(std::isupper) && has(std::islower))
    throw Error(
        fmt::format("{}: the ending is partly in upper case, which the NIfTI library does "
                    "not read. Rename the file to end in {}.",
                    file.string(), file_ending(file)));
}

itk::ImageIOBase::Pointer make_volume_io(const fs::path& file, std::string& format) {
  const std::string end = file_ending(file);
  if (end == ".nii" || end == ".nii.gz") {
    format = "NIfTI";
    refuse_mixed_case(file);
    return itk::NiftiImageIO::New().GetPointer();
  }
  if (end == ".nrrd" || end == ".nhdr") {
    format = "NRRD";
    return itk::NrrdImageIO::New().GetPointer();
  }
  if (end == ".mha" || end == ".mhd") {
    format = "MetaImage";
    return itk::MetaImageIO::New().GetPointer();
  }
  throw Error(fmt::format(
      "{}: not a volume file by its name. Expected one of {}, or a folder with a DICOM series.",
      file.string(), volume_endings()));
}

// By content: archives hand out JPEG files named .png. Empty: none that is known.
std::string picture_format(const fs::path& file) {
  unsigned char head[2] = {0, 0};
  std::ifstream(file, std::ios::binary).read(reinterpret_cast<char*>(head), 2);
  if (head[0] == 0xFF && head[1] == 0xD8) return "JPEG";
  if (head[0] == 0x89 && head[1] == 'P') return "PNG";
  return head[0] == head[1] && (head[0] == 'I' || head[0] == 'M') ? "TIFF" : "";
}

void require_content(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error))
    throw Error(fmt::format("{}: no such file.", file.string()));
  if (fs::file_size(file, error) == 0)
    throw Error(fmt::format("{}: damaged: the file is empty.", file.string()));
}

torch::ScalarType tensor_type(IOComponentEnum type, const fs::path& file) {
  switch (type) {
    case IOComponentEnum::UCHAR:
      return torch::kUInt8;
    case IOComponentEnum::CHAR:
      return torch::kInt8;
    case IOComponentEnum::USHORT:
      return torch::kUInt16;
    case IOComponentEnum::SHORT:
      return torch::kInt16;
    case IOComponentEnum::UINT:
      return torch::kUInt32;
    case IOComponentEnum::INT:
      return torch::kInt32;
    case IOComponentEnum::ULONG:
    case IOComponentEnum::ULONGLONG:
      return torch::kUInt64;
    case IOComponentEnum::LONG:
    case IOComponentEnum::LONGLONG:
      return torch::kInt64;
    case IOComponentEnum::FLOAT:
      return torch::kFloat;
    case IOComponentEnum::DOUBLE:
      return torch::kDouble;
    default:
      break;
  }
  throw Error(fmt::format(
      "{}: its sample type is not supported. Expected integers, float or double.", file.string()));
}

IOComponentEnum component_type(torch::ScalarType type) {
  switch (type) {
    case torch::kUInt8:
      return IOComponentEnum::UCHAR;
    case torch::kInt16:
      return IOComponentEnum::SHORT;
    case torch::kFloat:
      return IOComponentEnum::FLOAT;
    default:
      break;
  }
  throw Error("write_image_file: samples must be uint8, int16 or float.");
}

// The first sentence of ITK's text, without its file, line and object address.
std::string plain_reason(const itk::ExceptionObject& e) {
  std::string text = e.GetDescription();
  const auto address = text.find("): ");
  const bool prefixed = text.starts_with("ITK ERROR") || text.starts_with("itk::ERROR");
  if (prefixed && address != std::string::npos) text = text.substr(address + 3);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.substr(0, 200);
}

// Runs `body`; ITK's exceptions leave as Error with the path and the reason.
template <class F>
void guarded(const std::string& doing, const fs::path& file, F body) {
  try {
    body();
  } catch (const Error&) {
    throw;
  } catch (const itk::ExceptionObject& e) {
    throw Error(fmt::format("{}: {} failed: {}", file.string(), doing, plain_reason(e)));
  } catch (const std::exception& e) {
    throw translate_exception(e, fmt::format("{}: {}", file.string(), doing));
  }
}

void fill_header(itk::ImageIOBase& io, const fs::path& file, ImageHeader& header) {
  const unsigned dims = io.GetNumberOfDimensions();
  for (unsigned i = 0; i < dims; ++i) header.size.push_back(int64_t(io.GetDimensions(i)));
  header.components = io.GetNumberOfComponents();
  header.type = tensor_type(io.GetComponentType(), file);
  header.bits = 8 * int64_t(io.GetComponentSize());
  for (unsigned i = 0; i < std::min(dims, 3u); ++i) {
    header.spacing_mm[i] = io.GetSpacing(i);
    header.origin_mm[i] = io.GetOrigin(i);
    const auto column = io.GetDirection(i);
    for (unsigned row = 0; row < std::min<size_t>(column.size(), 3); ++row)
      header.direction[row][i] = column[row];
  }
  const auto& dictionary = io.GetMetaDataDictionary();
  if (!itk::ExposeMetaData<std::string>(dictionary, itk::ITK_FileNotes, header.description) ||
      header.description.empty())
    itk::ExposeMetaData<std::string>(dictionary, "descrip", header.description);
}

int64_t count_samples(const ImageHeader& header, const fs::path& file, int64_t max_samples) {
  // In floating point first: a broken header's product may overflow.
  double samples = double(header.components);
  for (int64_t n : header.size) samples *= double(n);
  if (samples < 1 || samples > double(max_samples))
    throw Error(
        fmt::format("{}: its header says {} samples of size {}; expected between 1 and {}. "
                    "The file is broken or not an image for this program.",
                    file.string(), samples, fmt::join(header.size, " x "), max_samples));
  return int64_t(samples);
}

// Puts the description into a NIfTI-1 header, where ITK's writer leaves it empty.
void stamp_description(const fs::path& file, const std::string& description) {
  const bool packed = file.string().ends_with(".gz");
  const fs::path stamped = file.string() + ".stamped";
  const gzFile in = gzopen(file.c_str(), "rb"),
               out = gzopen(stamped.c_str(), packed ? "wb6" : "wbT");
  std::vector<char> chunk(1 << 20);
  bool good = in && out;
  for (bool first = true; good; first = false) {
    const int n = gzread(in, chunk.data(), unsigned(chunk.size()));
    good = n >= (first ? 348 : 0);
    if (!good || n == 0) break;
    if (first) description.copy(chunk.data() + 148, 79);
    good = gzwrite(out, chunk.data(), unsigned(n)) == n;
  }
  if (in) gzclose(in);
  if (out) good = gzclose(out) == Z_OK && good;
  if (!good) {
    fs::remove(stamped);
    throw Error(fmt::format("{}: the file could not be written. Is the disk full?", file.string()));
  }
  fs::rename(stamped, file);
}

// A copy of a TIFF without its orientation, for as long as it is read.
class UprightCopy {
 public:
  explicit UprightCopy(const fs::path& file) {
    std::string name = (fs::temp_directory_path() / "x2ctpa-tiff-XXXXXX").string();
    if (!mkdtemp(name.data()))
      throw Error(
          fmt::format("{}: no temporary folder can be made in {}. TMPDIR may name another "
                      "place.",
                      file.string(), fs::temp_directory_path().string()));
    folder_ = name;
    write_as_upright_tiff(file, path());
  }
  ~UprightCopy() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  UprightCopy(const UprightCopy&) = delete;
  UprightCopy& operator=(const UprightCopy&) = delete;

  fs::path path() const { return folder_ / "picture.tif"; }

 private:
  fs::path folder_;
};

void read_header(itk::ImageIOBase& io, const fs::path& file, ImageHeader& header) {
  {
    // ITK 5.2's NiftiImageIO keeps the last file's name in a string that all threads share.
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    io.ReadImageInformation();
  }
  fill_header(io, file, header);
}

// Why `file`, of at most `bytes`, could not be written. The libraries keep the reason to
// themselves, so a full disk is known by the space that is left.
Error write_error(const fs::path& file, uintmax_t bytes, const Error& found) {
  std::error_code code;
  const fs::space_info space = fs::space(fs::absolute(file).parent_path(), code);
  if (code || space.available >= bytes + 4096)
    return Error(fmt::format("cannot write {}: {}", file.string(), found.what()), found.code());
  return Error(fmt::format(
      "cannot write {}: No space left on device. Free some space and run the same command again: "
      "it goes on.",
      file.string()));
}

}  // namespace

void prepare_imaging_libraries() {
  static std::once_flag once;
  std::call_once(once, [] {
    // ITK sets its factories, clock and switches up at their first use, without locks (ITK issue
    // 5493).
    itk::NrrdImageIO::New();
    itk::FloatingPointExceptions::Disable();
    itk::Object::GlobalWarningDisplayOff();
    gdcm::Trace::DebugOff();
    gdcm::Trace::WarningOff();
    gdcm::Trace::ErrorOff();
    TIFFSetWarningHandler(nullptr);
    TIFFSetErrorHandler(nullptr);
  });
}

at::Tensor read_image_file(const fs::path& file, ImageKind kind, ImageHeader& header,
                           int64_t max_samples,
                           const std::function<void(const ImageHeader&)>& check) {
  require_content(file);
  header = {};
  if (kind == ImageKind::picture) header.format = picture_format(file);
  if (header.format == "JPEG" || header.format == "PNG") {
    const bool png = header.format == "PNG";
    const auto samples = png ? read_png_file(file, header, check) : read_jpeg(file, header, check);
    header.orientation = picture_orientation(file, header.format);
    return samples;
  }
  prepare_imaging_libraries();
  itk::ImageIOBase::Pointer io;
  std::optional<UprightCopy> copy;
  if (header.format == "TIFF") {
    require_whole_tiff(file);
    header.orientation = picture_orientation(file, header.format);
    // ITK follows some orientations, and reads others with 8 bits.
    if (header.orientation != 1) copy.emplace(file);
    io = itk::TIFFImageIO::New();
  } else if (kind == ImageKind::volume) {
    io = make_volume_io(file, header.format);
  } else {
    throw Error(fmt::format(
        "{}: not a picture, or a damaged one: its content is none of PNG, JPEG and TIFF.",
        file.string()));
  }
  io->SetFileName(copy ? copy->path().string() : file.string());
  if (header.format == "NIfTI") require_sane_nifti(file);
  if (header.format == "MetaImage") MetaImageHeader::read(file);
  at::Tensor samples;
  guarded("reading", file, [&] {
    read_header(*io, file, header);
    if (check) check(header);
    count_samples(header, file, max_samples);
    if (kind == ImageKind::volume)
      require_whole_volume(file, header);
    else
      require_possible_size(file, double(io->GetImageSizeInBytes()));
    const auto dims = unsigned(header.size.size());
    itk::ImageIORegion region(dims);
    for (unsigned i = 0; i < dims; ++i) region.SetSize(i, size_t(header.size[i]));
    io->SetIORegion(region);
    std::vector<int64_t> shape(header.size.rbegin(), header.size.rend());
    shape.push_back(header.components);
    samples = torch::empty(shape, torch::TensorOptions().dtype(header.type));
    io->Read(samples.data_ptr());
  });
  return samples;
}

void write_image_file(const at::Tensor& samples, const ImageHeader& header, const fs::path& file) {
  prepare_imaging_libraries();
  AtomicFile target(file);
  std::string format;
  const itk::ImageIOBase::Pointer io = make_volume_io(file, format);
  constexpr unsigned dims = 3;
  const auto write = [&] {
    io->SetFileName(target.temporary().string());
    io->SetNumberOfDimensions(dims);
    itk::ImageIORegion region(dims);
    for (unsigned i = 0; i < dims; ++i) {
      const auto n = size_t(samples.size(dims - 1 - i));
      io->SetDimensions(i, n);
      region.SetSize(i, n);
      io->SetSpacing(i, header.spacing_mm[i]);
      io->SetOrigin(i, header.origin_mm[i]);
      std::vector<double> column(dims);
      for (unsigned row = 0; row < dims; ++row) column[row] = header.direction[row][i];
      io->SetDirection(i, column);
    }
    io->SetComponentType(component_type(samples.scalar_type()));
    io->SetPixelType(itk::IOPixelEnum::SCALAR);
    io->SetNumberOfComponents(1);
    io->SetIORegion(region);
    io->SetUseCompression(true);
    itk::EncapsulateMetaData<std::string>(io->GetMetaDataDictionary(), itk::ITK_FileNotes,
                                          header.description);
    io->Write(samples.data_ptr());
    if (format == "NIfTI" && !header.description.empty())
      stamp_description(target.temporary(), header.description);
  };
  try {
    guarded("writing", file, write);
  } catch (const Error& e) {
    throw write_error(file, uintmax_t(samples.nbytes()), e);
  }
  target.commit();
}

}  // namespace x2ctpa
