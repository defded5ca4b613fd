#include "inference/loaded_xrays.h"

#include <utility>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {

const LoadedCxr* LoadedXrays::load(size_t xray) {
  if (failed_.count(run_.job.xrays[xray].unique)) return nullptr;
  const auto found = loaded_.find(xray);
  if (found != loaded_.end()) return &found->second;
  const CxrItem& item = run_.job.xrays[xray];
  try {
    LoadedCxr cxr = load_cxr(item, generator_.info(), run_.options.cxr);
    cxr.novelty = generator_.novelty(cxr.picture);
    if (cxr.novelty && cxr.novelty->unlike_training()) {
      log_warning(
          "{} is unlike the X-rays that the model was trained with (picture {:.1f}, embedding "
          "{:.1f} times the limit): "
          "its volume means little",
          item.cxr.string(), cxr.novelty->picture, cxr.novelty->embedding);
      ++unlike_;
    }
    return &loaded_.emplace(xray, std::move(cxr)).first->second;
  } catch (const std::exception& e) {
    const Error error = translate_exception(e, "reading " + item.cxr.string());
    failed_.insert(item.unique);
    run_.folder.record_failures({{item.unique, {item.cxr.string(), error.what()}}}, {});
    log_warning("{} is left out: {}", item.unique, error.what());
    return nullptr;
  }
}

}  // namespace x2ctpa
