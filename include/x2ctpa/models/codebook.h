// The codebook of a vector-quantised autoencoder, learned by exponential moving averages
// (van den Oord et al., arXiv 1711.00937, appendix A.1), with initialisation from data and random
// restart of unused codes (Dhariwal et al., arXiv 2005.00341).
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <functional>
#include <optional>
#include <utility>

namespace x2ctpa {

struct CodebookOptions {
  int64_t codes = 16384;
  int64_t embedding_dim = 8;
  double ema_decay = 0.99;
  bool random_restart = true;
  double restart_threshold = 1.0;  ///< codes used less than this on average are drawn anew
};

struct Quantised {
  at::Tensor quantised;   ///< as z; its gradient goes to z unchanged (straight-through)
  at::Tensor z;           ///< in float32
  at::Tensor nearest;     ///< the code of each vector of z, in float32, without gradient
  at::Tensor perplexity;  ///< scalar: exp of the entropy of code use, 1 to codes
  at::Tensor indices;     ///< (B, d, h, w) int64
};

class CodebookImpl : public torch::nn::Module {
 public:
  explicit CodebookImpl(CodebookOptions options);

  /// z (B, embedding_dim, d, h, w) -> nearest codes. In training mode the codebook is initialised
  /// from the first batch and updated afterwards; random draws come from `generator` (CPU; the
  /// global one by default). Works in float32 whatever z's type.
  Quantised forward(const at::Tensor& z, std::optional<at::Generator> generator = {});

  /// Draws the codes of `which` (codes) bool anew from the vectors of z (B, embedding_dim, d, h,
  /// w), as the first batch did all of them.
  void restart(const at::Tensor& z, const at::Tensor& which,
               std::optional<at::Generator> generator = {});

  /// z (B, embedding_dim, d, h, w) with every vector replaced by its nearest code. Never trains.
  at::Tensor nearest_codes(const at::Tensor& z) const;

  /// Codes of `indices` (B, d, h, w) as (B, embedding_dim, d, h, w).
  at::Tensor lookup(const at::Tensor& indices) const;

  /// Smallest and largest value of all codes; the published code scales latents by them.
  std::pair<double, double> range() const;

  /// Called on tensors that must be summed over the processes of a distributed run, in place.
  void set_all_reduce(std::function<void(at::Tensor&)> sum) { all_reduce_ = std::move(sum); }
  /// Called on tensors that must be the first process's in every process, in place.
  void set_broadcast(std::function<void(at::Tensor&)> copy) { broadcast_ = std::move(copy); }

  const CodebookOptions& options() const { return options_; }

 private:
  at::Tensor nearest(const at::Tensor& rows) const;
  at::Tensor random_rows(const at::Tensor& rows, std::optional<at::Generator> generator) const;
  void initialise(const at::Tensor& rows, std::optional<at::Generator> generator);
  void update(const at::Tensor& rows, const at::Tensor& indices, const at::Tensor& counts,
              std::optional<at::Generator> generator);

  CodebookOptions options_;
  at::Tensor embeddings_;   // (codes, embedding_dim)
  at::Tensor usage_;        // (codes), moving average of the number of uses
  at::Tensor sum_;          // (codes, embedding_dim), moving average of the sum of assigned rows
  at::Tensor initialised_;  // (1) uint8
  std::function<void(at::Tensor&)> all_reduce_, broadcast_;
};
TORCH_MODULE(Codebook);

}  // namespace x2ctpa
