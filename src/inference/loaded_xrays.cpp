#include "inference/loaded_xrays.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/utf8.h"

namespace x2ctpa {

const LoadedCxr* LoadedXrays::load(size_t xray) {
  if (failed_.count(run_.job.xrays[xray].unique)) return nullptr;
  const auto found = loaded_.find(xray);
  if (found != loaded_.end()) return &found->second;
  const CxrItem& item = run_.job.xrays[xray];
  try {
    LoadedCxr cxr = load_cxr(item, generator_.info(), generator_.views(), run_.options.cxr);
    cxr.novelty = generator_.novelty(cxr.pictures);
    // An X-ray of many samples is read more than once, and told once.
    if (!cxr.warnings.empty() && doubted_.insert(xray).second)
      doubts_.say(fmt::format("{}: {}", item.first().string(), fmt::join(cxr.warnings, "; ")));
    // A dataset's own X-rays are of the model's kind: of them finish() tells the number.
    if (cxr.novelty && cxr.novelty->unlike_training() && unlike_.insert(xray).second &&
        !item.of_dataset) {
      unlike_warnings_.say(fmt::format(
          "{} is unlike the X-rays that the model was trained with (picture {:.1f}, embedding "
          "{:.1f} times the limit): its volume means little",
          item.first().string(), cxr.novelty->picture, cxr.novelty->embedding));
    }
    return &loaded_.emplace(xray, std::move(cxr)).first->second;
  } catch (const std::exception& e) {
    const Error error = translate_exception(e, "reading " + item.first().string());
    failed_.insert(item.unique);
    run_.folder.record_failures(
        {{item.unique, {valid_utf8(item.first().string()), valid_utf8(error.what())}}}, {});
    failures_.say(fmt::format("{} is left out: {}", item.unique, error.what()));
    return nullptr;
  }
}

void LoadedXrays::finish() const {
  doubts_.finish("X-rays are doubtful; -v says why of each");
  if (unlike_.empty()) return;
  const auto told =
      fmt::format("{} unlike those of the training set; see unlike_training in samples.csv",
                  counted(int64_t(unlike_.size()), "X-ray is", "X-rays are"));
  const auto& xrays = run_.job.xrays;
  const bool of_dataset =
      std::all_of(xrays.begin(), xrays.end(), [](const CxrItem& item) { return item.of_dataset; });
  // Of X-rays of the training set's kind each of two limits marks 5 in 1000.
  const bool usual = double(unlike_.size()) <= 1 + 0.03 * double(xrays.size());
  if (of_dataset && usual) {
    log_info("{}, which is usual for 1 or 2 in 100", told);
  } else {
    log_warning("{}", told);
  }
}

}  // namespace x2ctpa
