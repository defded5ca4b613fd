#include "inference/sample_plan.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <utility>

namespace x2ctpa {
namespace {

// What is there under the item's name. Where the policy is "suffix" and another volume is in the
// way, the item takes a name that is not among `taken`.
Existing find_existing(const SampleContext& run, const std::set<std::string>& taken,
                       SampleItem& item) {
  const auto state = [&](const std::string& name) {
    return run.folder.existing(name, run.xray_of(item).id, item.sample, run.settings);
  };
  Existing found = state(item.name);
  if (found == Existing::other && run.options.on_conflict == OnConflict::suffix) {
    const std::string wanted = item.name;
    for (int n = 2; found == Existing::other; ++n) {
      const std::string name = fmt::format("{}_{}", wanted, n);
      if (taken.count(name)) continue;
      found = state(item.name = name);
    }
  }
  return found;
}

// Records finished volumes that samples.csv lacks, and removes half-written files of those to make.
void tidy(const SampleContext& run, const std::vector<std::string>& done,
          const std::vector<SampleItem>& todo) {
  const auto recorded = run.folder.recorded();
  const std::set<std::string> known(recorded.begin(), recorded.end());
  std::vector<std::string> unrecorded;
  for (const auto& name : done) {
    if (!known.count(name)) unrecorded.push_back(name);
  }
  std::vector<std::string> names;
  for (const auto& item : todo) names.push_back(item.name);
  run.folder.remove_parts(names);
  run.folder.record(unrecorded, {});
}

}  // namespace

SamplePlan plan_samples(const SampleContext& run, std::vector<SampleItem> samples) {
  SamplePlan plan;
  std::set<std::string> names;  // of all shards' volumes
  for (auto& item : samples) {
    names.insert(item.name);
    if (run.job.shard.owns(int64_t(item.xray))) plan.own.push_back(std::move(item));
  }
  std::vector<std::string> done;
  for (auto& item : plan.own) {
    const Existing found = find_existing(run, names, item);
    if (found == Existing::same)
      done.push_back(item.name);
    else if (found == Existing::other && run.options.on_conflict == OnConflict::skip)
      ++plan.in_the_way;
    else
      plan.todo.push_back(item);
  }
  plan.already = done.size();
  tidy(run, done, plan.todo);
  return plan;
}

}  // namespace x2ctpa
