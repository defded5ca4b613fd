#include "inference/sample_spread.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

fs::path spread_file(const SampleContext& run, const CxrItem& xray, const char* kind) {
  return run.job.out / "uncertainty" / fmt::format("{}_{}.nii.gz", xray.unique, kind);
}

double value_at_quantile(const at::Tensor& values, double q) {
  const auto flat = values.flatten();
  return std::get<0>(flat.kthvalue(std::max<int64_t>(1, int64_t(q * double(flat.numel())))))
      .item<double>();
}

std::vector<std::string> spread_cells(const std::vector<double>& values) {
  if (values.empty()) return {"", "", "", ""};
  const auto v = at::tensor(values, at::kDouble);
  std::vector<std::string> cells;
  for (const auto& x : {v.mean(), v.std(), v.min(), v.max()})
    cells.push_back(fmt::format("{:.6g}", x.item<double>()));
  return cells;
}

}  // namespace

std::set<size_t> unsummarised_xrays(const SampleContext& run, const SamplePlan& plan) {
  std::set<size_t> groups;
  if (run.options.samples_per_cxr < 2) return groups;
  std::map<std::string, std::string> summarised;
  if (fs::exists(run.job.out / "uncertainty.csv")) {
    const auto table = CsvTable::read(run.job.out / "uncertainty.csv");
    for (size_t r = 0; r < table.size(); ++r)
      summarised[table.get(r, "xray")] = table.get(r, "summary_of");
  }
  for (const auto& item : plan.own) {
    const auto& xray = run.xray_of(item);
    const auto found = summarised.find(xray.unique);
    const bool fresh = found != summarised.end() && found->second == run.spread_settings &&
                       fs::exists(spread_file(run, xray, "std"));
    if (!fresh) groups.insert(item.xray);
  }
  for (const auto& item : plan.todo) groups.insert(item.xray);
  return groups;
}

void SampleSpread::summarise(const std::vector<SampleItem>& own, const std::set<size_t>& xrays) {
  if (xrays.empty()) return;
  std::map<size_t, std::vector<const SampleItem*>> members;
  for (const auto& item : own) {
    if (xrays.count(item.xray) &&
        run_.folder.existing(item.name, run_.xray_of(item).id, item.sample, run_.settings) ==
            Existing::same) {
      members[item.xray].push_back(&item);
    }
  }
  Progress progress("spread", int64_t(members.size()));
  for (const auto& [xray, items] : members) {
    stop_if_interrupted();
    if (items.size() == size_t(run_.options.samples_per_cxr)) summarise_one(xray, items);
    xrays_.forget(xray);
    progress.advance();
  }
}

void SampleSpread::summarise_one(size_t index, const std::vector<const SampleItem*>& items) {
  const LoadedCxr* cxr = xrays_.load(index);
  if (cxr == nullptr) return;
  const CxrItem& xray = run_.job.xrays[index];
  const Ranking ranking = ranked(items, *cxr);
  std::vector<fs::path> files;
  for (const auto* item : items) files.push_back(run_.folder.volume_file(item->name));
  const Spread spread = spread_of(files);
  write_nifti(spread.mean, spread_file(run_, xray, "mean"),
              "SYNTHETIC mean of CTPA samples by x2ctpa, research use only");
  write_nifti(spread.std, spread_file(run_, xray, "std"),
              "SYNTHETIC std (HU) of CTPA samples by x2ctpa, research use only", false);
  run_.folder.merge("ranking.csv", ranking.rows, "name");
  CsvTable row({"xray", "case_id", "samples", "mean_file", "std_file", "mean_std_hu", "p95_std_hu",
                "best_sample", "pe_mean", "pe_std", "pe_min", "pe_max", "unlike_training",
                "summary_of"});
  const auto relative = [&](const char* kind) {
    return fs::relative(spread_file(run_, xray, kind), run_.job.out).string();
  };
  std::vector<std::string> cells{xray.unique,
                                 xray.id,
                                 std::to_string(items.size()),
                                 relative("mean"),
                                 relative("std"),
                                 fmt::format("{:.4g}", spread.std.hu.mean().item<double>()),
                                 fmt::format("{:.4g}", value_at_quantile(spread.std.hu, 0.95)),
                                 ranking.best};
  for (const auto& cell : spread_cells(ranking.pe)) cells.push_back(cell);
  cells.push_back(!cxr->novelty ? "" : cxr->novelty->unlike_training() ? "1" : "0");
  cells.push_back(run_.spread_settings);
  row.add(cells);
  run_.folder.merge("uncertainty.csv", row, "xray");
}

SampleSpread::Ranking SampleSpread::ranked(const std::vector<const SampleItem*>& items,
                                           const LoadedCxr& cxr) {
  Ranking ranking;
  std::vector<std::pair<double, size_t>> order;
  for (size_t i = 0; i < items.size(); ++i) {
    const Volume volume = read_volume(run_.folder.volume_file(items[i]->name));
    order.push_back({-projection_similarity(volume, cxr.pictures, info_), i});
    if (scorer_) ranking.pe.push_back(scorer_->score(volume, info_.window));
  }
  std::sort(order.begin(), order.end());
  for (size_t place = 0; place < order.size(); ++place) {
    const auto& [negative, i] = order[place];
    const CxrItem& xray = run_.xray_of(*items[i]);
    ranking.rows.add({items[i]->name, xray.unique, xray.id, std::to_string(items[i]->sample),
                      std::to_string(place + 1), fmt::format("{:.4f}", -negative),
                      scorer_ ? fmt::format("{:.9g}", ranking.pe[i]) : ""});
  }
  ranking.best = items[order[0].second]->name;
  return ranking;
}

}  // namespace x2ctpa
