#include "x2ctpa/core/random.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

namespace x2ctpa {

uint64_t stream_seed(int64_t seed, std::string_view name) {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a, 64 bit
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  // SplitMix64 (Steele, Lea, Flood 2014) spreads the sum over all bits.
  uint64_t z = hash + uint64_t(seed) * 0x9e3779b97f4a7c15ull + 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

at::Generator random_stream(int64_t seed, std::string_view name) {
  return at::make_generator<at::CPUGeneratorImpl>(stream_seed(seed, name));
}

at::Tensor case_noise(int64_t seed, std::string_view case_id, int64_t sample,
                      at::IntArrayRef shape) {
  auto generator = random_stream(seed, fmt::format("noise/{}/{}", case_id, sample));
  return at::randn(shape, generator, at::TensorOptions().dtype(at::kFloat).device(at::kCPU));
}

}  // namespace x2ctpa
