#include "x2ctpa/imaging/dicom/dicom_series.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "imaging/dicom/dicom_slice.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// Every regular file below `folder`, sorted so that nothing depends on the disk's order.
std::vector<fs::path> list_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error);
  if (error)
    throw Error(
        fmt::format("{}: the folder cannot be listed: {}.", folder.string(), error.message()));
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error)
      throw Error(
          fmt::format("{}: the folder cannot be listed: {}.", folder.string(), error.message()));
    std::error_code ignored;
    if (it->is_regular_file(ignored) && it->path().filename() != "DICOMDIR")
      files.push_back(it->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

using Tags = std::shared_ptr<const SeriesTags>;

// Parses the headers of files [begin, end) into their series. Slices share the tags of the first of
// their series: an archive has hundreds of thousands.
void parse_some(const std::vector<fs::path>& files, size_t begin, size_t end,
                std::map<std::string, std::vector<SliceHeader>>& by_uid,
                std::vector<fs::path>& broken) {
  std::vector<std::vector<SliceHeader>> slices(end - begin);
  std::vector<FileKind> kinds(end - begin, FileKind::not_dicom);
  at::parallel_for(0, int64_t(end - begin), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
      kinds[i] = parse_slice_headers(files[begin + i], slices[i]);
  });
  for (size_t i = 0; i < slices.size(); ++i) {
    if (kinds[i] == FileKind::broken) broken.push_back(files[begin + i]);
    if (kinds[i] != FileKind::image) continue;
    for (SliceHeader& slice : slices[i]) {
      auto& series = by_uid[slice.series_uid];
      if (!series.empty()) slice.tags = series.front().tags;
      series.push_back(std::move(slice));
    }
  }
}

}  // namespace

std::vector<DicomSeries> scan_dicom_files(const std::vector<fs::path>& files,
                                          const SeriesLimits& limits) {
  constexpr size_t at_a_time = 4096;
  std::map<std::string, std::vector<SliceHeader>> by_uid;
  std::vector<fs::path> broken;
  for (size_t begin = 0; begin < files.size(); begin += at_a_time)
    parse_some(files, begin, std::min(begin + at_a_time, files.size()), by_uid, broken);
  std::vector<DicomSeries> series;
  for (auto& [uid, slices] : by_uid) {
    series.push_back(assess_series(std::move(slices), limits));
    slices = {};
  }
  if (!broken.empty()) {
    DicomSeries unknown;
    unknown.refuse(
        "unreadable-file",
        fmt::format("{} with the name or beginning of DICOM cannot be parsed, the "
                    "first being {}",
                    counted(int64_t(broken.size()), "file"), broken.front().filename().string()));
    unknown.left_out = std::move(broken);
    series.push_back(std::move(unknown));
  }
  return series;
}

std::vector<DicomSeries> scan_dicom_folder(const fs::path& folder, const SeriesLimits& limits) {
  return scan_dicom_files(list_files(folder), limits);
}

}  // namespace x2ctpa
