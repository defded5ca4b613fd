#include "x2ctpa/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "threads.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {
namespace {

struct CaseTensors {
  torch::Tensor ct, cxr;
};

CaseTensors load_case(const Dataset& dataset, const Case& c, BatchContent content) {
  try {
    return {content.ct ? dataset.load_ct(c) : torch::Tensor(),
            content.cxr ? dataset.load_cxr(c) : torch::Tensor()};
  } catch (const Error&) {
    throw;  // names the case already
  } catch (const std::exception& e) {
    throw translate_exception(e, fmt::format("case {}: loading", c.id));
  }
}

/// `load(case)` for each case, stacked.
template <class Load>
Batch stacked(const std::vector<Case>& cases, BatchContent content, Load load) {
  std::vector<torch::Tensor> ct, cxr;
  std::vector<float> pe;
  for (const Case& c : cases) {
    const CaseTensors tensors = load(c);
    if (content.ct) ct.push_back(tensors.ct);
    if (content.cxr) cxr.push_back(tensors.cxr);
    pe.push_back(c.pe ? static_cast<float>(*c.pe) : -1.f);
  }
  Batch batch{cases, {}, {}, torch::tensor(pe)};
  if (content.ct) batch.ct = torch::stack(ct);
  if (content.cxr) batch.cxr = torch::stack(cxr);
  return batch;
}

int64_t bytes_per_case(const DatasetInfo& info, BatchContent content) {
  const int64_t voxels = info.grid_dhw[0] * info.grid_dhw[1] * info.grid_dhw[2];
  return 4 * ((content.ct ? voxels : 0) + (content.cxr ? info.cxr_size * info.cxr_size : 0));
}

}  // namespace

Batch load_batch(const Dataset& dataset, const std::vector<Case>& cases, BatchContent content) {
  if (cases.empty()) throw Error("a batch needs at least one case, found none", ExitCode::no_data);
  return stacked(cases, content, [&](const Case& c) { return load_case(dataset, c, content); });
}

/// What was read so far; remembers nothing when the split is larger than its allowance.
class CaseLoader::Cache {
 public:
  Cache(Dataset dataset, BatchContent content, bool keep)
      : dataset_(std::move(dataset)), content_(content), keep_(keep) {}

  CaseTensors get(const Case& c) {
    if (!keep_) return load_case(dataset_, c, content_);
    {
      const std::lock_guard lock(mutex_);
      const auto found = kept_.find(c.id);
      if (found != kept_.end()) return found->second;
    }
    const CaseTensors tensors = load_case(dataset_, c, content_);
    const std::lock_guard lock(mutex_);
    return kept_.emplace(c.id, tensors).first->second;
  }

 private:
  const Dataset dataset_;
  const BatchContent content_;
  const bool keep_;
  std::mutex mutex_;
  std::map<std::string, CaseTensors> kept_;
};

CaseLoader::CaseLoader(const Dataset& dataset, const std::string& split,
                       const LoaderOptions& options, BatchContent content)
    : dataset_(dataset), split_(split), options_(options), content_(content) {
  if (options.batch_size < 1 || options.world < 1 || options.rank < 0 ||
      options.rank >= options.world) {
    throw Error(
        fmt::format("loader: expected batch_size >= 1 and 0 <= rank < world, found batch_size {}, "
                    "rank {}, world {}",
                    options.batch_size, options.rank, options.world));
  }
  const bool needs_ct = content.ct || content.paired, needs_cxr = content.cxr || content.paired;
  for (const Case& c : dataset_.split(split)) {
    if ((!needs_ct || !c.ct.empty()) && (!needs_cxr || !c.cxr.empty())) cases_.push_back(c);
  }
  if (cases_.empty()) {
    throw Error(
        fmt::format("{}: the split '{}' has no case with {}; add studies, or change the fractions "
                    "preprocess.splits",
                    dataset.folder().string(), split,
                    needs_ct && needs_cxr ? "CT and X-ray"
                    : needs_ct            ? "CT"
                                          : "X-ray"),
        ExitCode::no_data);
  }
  const bool keep =
      cases() * bytes_per_case(dataset_.info(), content) <= options.cache_mb * (1 << 20);
  cache_ = std::make_shared<Cache>(dataset_, content, keep);
}

// The futures of std::async wait for their threads.
CaseLoader::~CaseLoader() = default;

int64_t CaseLoader::batches_per_epoch() const {
  const int64_t per_step = options_.batch_size * options_.world;
  return (cases() + per_step - 1) / per_step;
}

std::vector<Case> CaseLoader::batch_cases(int64_t batch) const {
  const int64_t first = (batch * options_.world + options_.rank) * options_.batch_size;
  std::vector<Case> found;
  torch::Tensor order;
  int64_t order_epoch = -1;
  for (int64_t n = first; n < first + options_.batch_size; ++n) {
    const int64_t epoch = n / cases();
    if (epoch != order_epoch) {
      order = torch::randperm(
          cases(), random_stream(options_.seed, fmt::format("loader/{}/{}", split_, epoch)));
      order_epoch = epoch;
    }
    found.push_back(cases_[static_cast<size_t>(order[n % cases()].item<int64_t>())]);
  }
  return found;
}

void CaseLoader::read_ahead() {
  while (static_cast<int64_t>(ahead_.size()) < std::max<int64_t>(1, options_.prefetch)) {
    auto read = [cache = cache_, content = content_,
                 cases = batch_cases(delivered_ + static_cast<int64_t>(ahead_.size()))] {
      use_threads_here(1);  // the cores belong to the training step
      return stacked(cases, content, [&](const Case& c) { return cache->get(c); });
    };
    ahead_.push_back(std::async(std::launch::async, std::move(read)));
  }
}

Batch CaseLoader::next() {
  read_ahead();
  std::future<Batch> due = std::move(ahead_.front());
  ahead_.pop_front();
  Batch batch;
  try {
    batch = due.get();
  } catch (...) {
    ahead_.clear();  // a later call tries this batch again
    throw;
  }
  ++delivered_;
  read_ahead();
  return batch;
}

void CaseLoader::restore(const State& state) {
  if (state.batches < 0) {
    throw Error(fmt::format("loader: position must be >= 0, found {}", state.batches));
  }
  ahead_.clear();
  delivered_ = state.batches;
}

}  // namespace x2ctpa
