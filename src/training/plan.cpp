#include "training/plan.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <fmt/format.h>

#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/device.h"

namespace x2ctpa {
namespace {

int64_t elements(const torch::nn::Module& module, bool trained) {
  int64_t n = 0;
  for (const auto& p : module.parameters()) n += trained && !p.requires_grad() ? 0 : p.numel();
  return n;
}

std::string count_text(double n) {
  return n >= 1e6   ? fmt::format("{:.2f} million", n / 1e6)
         : n >= 1e3 ? fmt::format("{:.1f} thousand", n / 1e3)
                    : fmt::format("{:.0f}", n);
}

std::string size_text(double bytes) {
  return bytes >= 1e9 ? fmt::format("{:.1f} GB", bytes / 1e9)
                      : fmt::format("{:.1f} MB", bytes / 1e6);
}

std::string time_text(double seconds) {
  return seconds >= 5400 ? fmt::format("{:.1f} hours", seconds / 3600)
         : seconds >= 90 ? fmt::format("{:.0f} minutes", seconds / 60)
                         : fmt::format("{:.2g} seconds", seconds);
}

int64_t peak_bytes(c10::Device device) {
  if (!device.is_cuda()) return peak_memory_bytes();
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return stats.reserved_bytes[size_t(c10::CachingAllocator::StatType::AGGREGATE)].peak;
}

}  // namespace

int64_t Plan::state_bytes() const {
  // Weight, gradient and two moments; the average.
  int64_t bytes =
      4 * (elements(module, false) + elements(module, true) * (options.ema_decay > 0 ? 4 : 3));
  for (const auto& o : opponents) bytes += 16 * elements(*o.module, false);
  return bytes;
}

std::string Plan::before() const {
  std::string parameters = count_text(double(elements(module, false)));
  const int64_t trained = elements(module, true);
  if (trained != elements(module, false))
    parameters += fmt::format(" ({} trained)", count_text(double(trained)));
  for (const auto& o : opponents)
    parameters += fmt::format(", {} {}", o.name, count_text(double(elements(*o.module, false))));
  const std::string shares = processes > 1 ? fmt::format(" in {} processes", processes) : "";
  return fmt::format(
      "{}: {} parameters; {} to go of {} each{}, {}; weights, gradients, optimiser and "
      "average take {}",
      name, parameters, counted(options.steps - done, "step"),
      counted(options.batch_size * options.accumulate * processes, "case"), shares,
      options.precision, size_text(double(state_bytes())));
}

std::string Plan::after(double seconds, c10::Device device) const {
  const double batches = double((options.steps - done) * options.accumulate);
  return fmt::format(
      "{}: the first batch took {} and the {} {} at its peak; all will take about {} or less", name,
      time_text(seconds), device.is_cuda() ? "GPU" : "process",
      size_text(double(peak_bytes(device))), time_text(batches * seconds));
}

std::string advice(const TrainOptions& options) {
  std::string text = " Settings of train that need less:";
  if (options.batch_size > 1) {
    text += fmt::format(" batch_size {} with accumulate {} (the same step);",
                        options.batch_size / 2, options.accumulate * 2);
  }
  if (!options.recompute) text += " recompute true;";
  if (options.precision == Precision::fp32) text += " precision bf16;";
  return text + " or a smaller grid or model.";
}

}  // namespace x2ctpa
