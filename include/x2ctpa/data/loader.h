// Batches of cases for training: an endless, seeded, shuffled stream that can be resumed exactly.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"

namespace x2ctpa {

/// Which tensors a batch carries; cases that lack one of them are left out of the stream.
struct BatchContent {
  bool ct = true;
  bool cxr = true;
  bool paired = false;  ///< leave out cases without both, whatever is loaded
  CxrViews views = CxrViews::frontal;
  /// What else a case has, such as its latent, by name; called by threads that read ahead.
  std::map<std::string, std::function<at::Tensor(const Case&)>> more{};
};

struct Batch {
  std::vector<Case> cases;
  at::Tensor ct;   ///< (B, 1, D, H, W) float32 in [-1, 1]; undefined when not asked for
  at::Tensor cxr;  ///< (B, V, S, S) as core/cxr_view.h has them; undefined when not asked for
  at::Tensor pe;   ///< (B) float32: 0, 1, or -1 for unknown
  std::map<std::string, at::Tensor> more{};  ///< (B, ...) each
};

/// Loads the given cases as one batch, in their order.
/// Throws Error naming the case that cannot be read.
Batch load_batch(const Dataset& dataset, const std::vector<Case>& cases,
                 const BatchContent& content = {});

struct LoaderOptions {
  int64_t batch_size = 1;
  int64_t seed = 0;
  int64_t prefetch = 2;     ///< batches that are read ahead, each by a thread of its own
  int64_t cache_mb = 2048;  ///< the split stays in memory when it is not larger than this
  bool pin = false;         ///< batches in page-locked memory, which goes to a GPU while that works
  int64_t rank = 0;         ///< of `world` processes that share the stream: each takes every
  int64_t world = 1;        ///< world-th batch of it
};

/// Which of `cases` cases are in batch `batch` of a stream whose every epoch is a permutation: that
/// of epoch n depends on `seed` and the name "`stream`/n" alone.
std::vector<size_t> shuffled_batch(int64_t seed, const std::string& stream, int64_t batch,
                                   int64_t batch_size, size_t cases);

/// The stream. Every epoch is a permutation of the split that depends on seed, split name and epoch
/// alone; batches are full and may span two epochs, so that a split smaller than a batch works too.
class CaseLoader {
 public:
  /// Where the stream stands: enough to go on exactly.
  struct State {
    int64_t batches = 0;  ///< already delivered to this rank
  };

  /// Throws Error(ExitCode::no_data) when no case of the split has what `content` asks for.
  CaseLoader(const Dataset& dataset, const std::string& split, const LoaderOptions& options,
             BatchContent content = {});
  ~CaseLoader();
  CaseLoader(const CaseLoader&) = delete;
  CaseLoader& operator=(const CaseLoader&) = delete;

  /// The next batch. An error met while reading ahead is thrown here, when its batch is due; the
  /// position stays before that batch.
  Batch next();

  State state() const { return {delivered_}; }
  /// Goes on after `state.batches` batches, whatever was delivered or read ahead so far.
  void restore(const State& state);

  /// Seconds that next() has waited for batches that were not ready.
  double waited_seconds() const { return waited_; }

  int64_t cases() const { return int64_t(cases_.size()); }
  /// Batches of this rank per epoch, rounded up.
  int64_t batches_per_epoch() const;

 private:
  class Cache;

  std::vector<Case> batch_cases(int64_t batch) const;
  void read_ahead();

  Dataset dataset_;
  std::string split_;
  LoaderOptions options_;
  BatchContent content_;
  std::vector<Case> cases_;
  std::shared_ptr<Cache> cache_;
  std::deque<std::future<Batch>> ahead_;
  int64_t delivered_ = 0;
  double waited_ = 0;
};

}  // namespace x2ctpa
