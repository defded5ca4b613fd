#include "inference/loaded_xrays.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/utf8.h"

namespace x2ctpa {

const LoadedCxr* LoadedXrays::load(size_t xray) {
  if (failed_.count(run_.job.xrays[xray].unique)) return nullptr;
  const auto found = loaded_.find(xray);
  if (found != loaded_.end()) return &found->second;
  const CxrItem& item = run_.job.xrays[xray];
  try {
    LoadedCxr cxr = load_cxr(item, generator_.info(), run_.options.cxr);
    cxr.novelty = generator_.novelty(cxr.picture);
    // An X-ray of many samples is read more than once, and told once.
    if (!cxr.warnings.empty() && doubted_.insert(xray).second)
      doubts_.say(fmt::format("{}: {}", item.cxr.string(), fmt::join(cxr.warnings, "; ")));
    if (cxr.novelty && cxr.novelty->unlike_training() && unlike_.insert(xray).second) {
      unlike_warnings_.say(fmt::format(
          "{} is unlike the X-rays that the model was trained with (picture {:.1f}, embedding "
          "{:.1f} times the limit): its volume means little",
          item.cxr.string(), cxr.novelty->picture, cxr.novelty->embedding));
    }
    return &loaded_.emplace(xray, std::move(cxr)).first->second;
  } catch (const std::exception& e) {
    const Error error = translate_exception(e, "reading " + item.cxr.string());
    failed_.insert(item.unique);
    run_.folder.record_failures(
        {{item.unique, {valid_utf8(item.cxr.string()), valid_utf8(error.what())}}}, {});
    failures_.say(fmt::format("{} is left out: {}", item.unique, error.what()));
    return nullptr;
  }
}

void LoadedXrays::finish() const { doubts_.finish("X-rays are doubtful; -v says why of each"); }

}  // namespace x2ctpa
