#include "x2ctpa/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <map>
#include <mutex>

#include "data/preprocess/threads.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {

struct CaseTensors {
  at::Tensor ct, cxr;
  std::map<std::string, at::Tensor> more;

  int64_t bytes() const {
    int64_t sum =
        (ct.defined() ? int64_t(ct.nbytes()) : 0) + (cxr.defined() ? int64_t(cxr.nbytes()) : 0);
    for (const auto& [name, tensor] : more) sum += int64_t(tensor.nbytes());
    return sum;
  }
};

namespace {

CaseTensors load_case(const Dataset& dataset, const Case& c, const BatchContent& content) {
  try {
    CaseTensors out;
    if (content.ct) out.ct = dataset.load_ct(c);
    if (content.cxr) out.cxr = dataset.load_views(c, content.views);
    for (const auto& [name, load] : content.more) out.more[name] = load(c);
    return out;
  } catch (const Error&) {
    throw;  // names the case already
  } catch (const std::exception& e) {
    throw translate_exception(e, fmt::format("case {}: loading", c.id));
  }
}

// `load(case)` for each case, stacked.
template <class Load>
Batch stacked(const std::vector<Case>& cases, const BatchContent& content, bool pin, Load load) {
  std::vector<at::Tensor> ct, cxr;
  std::map<std::string, std::vector<at::Tensor>> more;
  std::vector<float> pe;
  for (const Case& c : cases) {
    const CaseTensors tensors = load(c);
    if (content.ct) ct.push_back(tensors.ct);
    if (content.cxr) cxr.push_back(tensors.cxr);
    for (const auto& [name, tensor] : tensors.more) more[name].push_back(tensor);
    pe.push_back(c.pe ? float(*c.pe) : -1.f);
  }
  const auto together = [&](const std::vector<at::Tensor>& parts) {
    const auto whole = torch::stack(parts);
    return pin ? whole.pin_memory() : whole;
  };
  Batch batch{cases, {}, {}, torch::tensor(pe)};
  if (content.ct) batch.ct = together(ct);
  if (content.cxr) batch.cxr = together(cxr);
  for (const auto& [name, parts] : more) batch.more[name] = together(parts);
  return batch;
}

}  // namespace

Batch load_batch(const Dataset& dataset, const std::vector<Case>& cases,
                 const BatchContent& content) {
  if (cases.empty()) throw Error("a batch needs at least one case, found none", ExitCode::no_data);
  return stacked(cases, content, false,
                 [&](const Case& c) { return load_case(dataset, c, content); });
}

// Reads each case once, also when several threads ask for it at the same time; keeps nothing when
// all `cases` together are larger than the allowance.
class CaseLoader::Cache {
 public:
  Cache(Dataset dataset, BatchContent content, int64_t cases, int64_t bytes)
      : dataset_(std::move(dataset)),
        content_(std::move(content)),
        bytes_per_case_(bytes / cases) {}

  CaseTensors get(const Case& c) {
    std::promise<CaseTensors> reading;
    {
      std::unique_lock lock(mutex_);
      const auto [found, is_new] = kept_.try_emplace(c.id);
      if (!is_new) {
        const auto known = found->second;
        lock.unlock();
        return known.get();
      }
      found->second = reading.get_future().share();
    }
    try {
      const CaseTensors tensors = load_case(dataset_, c, content_);
      if (tensors.bytes() > bytes_per_case_) forget(c);
      reading.set_value(tensors);
      return tensors;
    } catch (...) {
      forget(c);  // the next call tries again
      reading.set_exception(std::current_exception());
      throw;
    }
  }

 private:
  void forget(const Case& c) {
    const std::lock_guard lock(mutex_);
    kept_.erase(c.id);
  }

  const Dataset dataset_;
  const BatchContent content_;
  const int64_t bytes_per_case_;
  std::mutex mutex_;
  std::map<std::string, std::shared_future<CaseTensors>> kept_;
};

CaseLoader::CaseLoader(const Dataset& dataset, const std::string& split,
                       const LoaderOptions& options, BatchContent content)
    : dataset_(dataset), split_(split), options_(options), content_(std::move(content)) {
  if (options.batch_size < 1 || options.world < 1 || options.rank < 0 ||
      options.rank >= options.world) {
    throw Error(
        fmt::format("loader: expected batch_size >= 1 and 0 <= rank < world, found batch_size {}, "
                    "rank {}, world {}",
                    options.batch_size, options.rank, options.world));
  }
  const bool needs_ct = content_.ct || content_.paired, needs_cxr = content_.cxr || content_.paired;
  for (const Case& c : dataset_.split(split)) {
    if ((!needs_ct || !c.ct.empty()) && (!needs_cxr || c.has_xray(content_.views)))
      cases_.push_back(c);
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
  cache_ = std::make_shared<Cache>(dataset_, content_, cases(), options.cache_mb << 20);
}

// The futures of std::async wait for their threads.
CaseLoader::~CaseLoader() = default;

std::vector<size_t> shuffled_batch(int64_t seed, const std::string& stream, int64_t batch,
                                   int64_t batch_size, size_t cases) {
  const int64_t count = int64_t(cases);
  std::vector<size_t> found;
  at::Tensor order;
  int64_t order_epoch = -1;
  for (int64_t n = batch * batch_size; n < (batch + 1) * batch_size; ++n) {
    if (n / count != order_epoch) {
      order_epoch = n / count;
      order =
          torch::randperm(count, random_stream(seed, fmt::format("{}/{}", stream, order_epoch)));
    }
    found.push_back(size_t(order[n % count].item<int64_t>()));
  }
  return found;
}

int64_t CaseLoader::batches_per_epoch() const {
  const int64_t per_step = options_.batch_size * options_.world;
  return (cases() + per_step - 1) / per_step;
}

std::vector<Case> CaseLoader::batch_cases(int64_t batch) const {
  std::vector<Case> found;
  for (const size_t i :
       shuffled_batch(options_.seed, "loader/" + split_, batch * options_.world + options_.rank,
                      options_.batch_size, cases_.size())) {
    found.push_back(cases_[i]);
  }
  return found;
}

void CaseLoader::read_ahead() {
  while (int64_t(ahead_.size()) < std::max<int64_t>(1, options_.prefetch)) {
    auto read = [cache = cache_, content = content_, pin = options_.pin,
                 cases = batch_cases(delivered_ + int64_t(ahead_.size()))] {
      use_threads_here(1);  // the cores belong to the training step
      return stacked(cases, content, pin, [&](const Case& c) { return cache->get(c); });
    };
    ahead_.push_back(std::async(std::launch::async, std::move(read)));
  }
}

Batch CaseLoader::next() {
  read_ahead();
  std::future<Batch> due = std::move(ahead_.front());
  ahead_.pop_front();
  Batch batch;
  const auto start = std::chrono::steady_clock::now();
  try {
    batch = due.get();
    waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
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
