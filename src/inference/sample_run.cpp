#include "x2ctpa/inference/sample_run.h"

#include <chrono>
#include <map>
#include <memory>
#include <set>

#include "inference/load_cxr.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/inference/ctpa_generator.h"
#include "x2ctpa/inference/sample_folder.h"
#include "x2ctpa/inference/uncertainty.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// All that a volume depends on besides its X-ray, as 16 hexadecimal digits.
std::string settings_of(const std::string& model_hash, const SampleOptions& options,
                        const RuntimeOptions& runtime) {
  const std::string text =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", model_hash, options_to_yaml(options.sampler),
                  options_to_yaml(options.cxr), options.label, runtime.seed, runtime.precision);
  return sha256(text).substr(0, 16);
}

int64_t label_of(const SampleOptions& options) {
  if (options.label == "unknown") return label_unknown;
  return options.label == "positive" ? label_positive : label_negative;
}

class SampleRun {
 public:
  SampleRun(const SampleJob& job, const SampleOptions& options, const RuntimeOptions& runtime)
      : job_(job), options_(options), runtime_(runtime), folder_(job.out, options) {
    for (auto& item : samples_of(job.xrays, options.samples_per_cxr, options.name, runtime.seed)) {
      names_.insert(item.name);
      if (job.shard.owns(item.xray)) own_.push_back(std::move(item));
    }
    model_hash_ = CtpaGenerator::hash_of(job.model);
    settings_ = settings_of(model_hash_, options, runtime);
  }

  ExitCode run() {
    find_todo();
    const auto groups = unfinished_groups();
    if (todo_.empty() && groups.empty()) {
      log_info("nothing to do: all {} volumes are in {} already", own_.size(), job_.out.string());
      return ExitCode::ok;
    }
    if (!job_.classifier.empty()) scorer_ = std::make_unique<PeScorer>(job_.classifier, runtime_);
    generator_ = std::make_unique<CtpaGenerator>(job_.model, runtime_, model_hash_);
    generate_all();
    finish_groups();
    return report();
  }

 private:
  const CxrItem& xray_of(const SampleItem& item) const { return job_.xrays[item.xray]; }

  // Sorts the own items into done and to do, as the conflict policy says.
  void find_todo() {
    size_t kept = 0;
    std::vector<std::string> done;
    for (auto& item : own_) {
      const auto state = [&](const std::string& name) {
        return folder_.existing(name, xray_of(item).id, item.sample, settings_);
      };
      Existing found = state(item.name);
      if (found == Existing::other && options_.on_conflict == "suffix") {
        const std::string wanted = item.name;
        for (int n = 2; found == Existing::other; ++n) {
          const std::string name = fmt::format("{}_{}", wanted, n);
          if (names_.count(name)) continue;
          found = state(item.name = name);
        }
      }
      if (found == Existing::same)
        done.push_back(item.name);
      else if (found == Existing::other && options_.on_conflict == "skip")
        ++kept;
      else
        todo_.push_back(item);
    }
    already_ = done.size() + kept;
    if (kept > 0) {
      log_warning(
          "{} volumes of other settings (seed, sampler, model) or other makers are in the way and "
          "left as they are; "
          "--on-conflict overwrite replaces them, suffix keeps both",
          kept);
    }
    const auto recorded = folder_.recorded();
    const std::set<std::string> known(recorded.begin(), recorded.end());
    std::vector<std::string> unrecorded;
    for (const auto& name : done) {
      if (!known.count(name)) unrecorded.push_back(name);
    }
    std::vector<std::string> names;
    for (const auto& item : todo_) names.push_back(item.name);
    folder_.remove_parts(names);
    folder_.record(unrecorded, {});
  }

  // The X-ray's picture and place; nothing, and a row in failures.csv, when it cannot be read.
  const LoadedCxr* load(size_t xray) {
    if (failed_.count(job_.xrays[xray].unique)) return nullptr;
    const auto found = loaded_.find(xray);
    if (found != loaded_.end()) return &found->second;
    const CxrItem& item = job_.xrays[xray];
    try {
      LoadedCxr cxr = load_cxr(item, generator_->info(), options_.cxr);
      cxr.novelty = generator_->novelty(cxr.picture);
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
      failed_[item.unique] = {item.cxr.string(), error.what()};
      folder_.record_failures({{item.unique, failed_[item.unique]}}, {});
      log_warning("{} is left out: {}", item.unique, error.what());
      return nullptr;
    }
  }

  void generate_all() {
    const std::string of_shard =
        job_.shard.count > 1 ? fmt::format(" {}/{}", job_.shard.index + 1, job_.shard.count) : "";
    Progress progress("sample" + of_shard, int64_t(own_.size()),
                      int64_t(own_.size() - todo_.size()));
    start_ = Clock::now();
    size_t batch_size = size_t(options_.batch_size), next = 0;
    while (next < todo_.size()) {
      stop_if_interrupted();
      std::vector<SampleItem> batch;
      const size_t first = next;
      for (; next < todo_.size() && batch.size() < batch_size; ++next) {
        if (load(todo_[next].xray)) batch.push_back(todo_[next]);
      }
      try {
        if (!batch.empty()) make(batch);
      } catch (const std::exception& e) {
        const Error error = translate_exception(e, "generating");
        if (error.code() != ExitCode::out_of_memory || batch.size() == 1) throw error;
        batch_size = (batch.size() + 1) / 2;
        next = first;
        log_warning("not enough memory for {} volumes at once; going on with {}", batch.size(),
                    batch_size);
        continue;
      }
      progress.advance(
          int64_t(next - first),
          fmt::format("{:.2f} s each", seconds_since(start_) / double(std::max<size_t>(made_, 1))));
      // The samples of an X-ray follow each other, so earlier ones are not needed any more.
      if (next < todo_.size())
        loaded_.erase(loaded_.begin(), loaded_.lower_bound(todo_[next].xray));
    }
    progress.finish();
  }

  void make(const std::vector<SampleItem>& batch) {
    const auto start = Clock::now();
    std::vector<SampleRequest> requests;
    for (const auto& item : batch)
      requests.push_back(
          {xray_of(item).id, load(item.xray)->picture, item.sample, label_of(options_)});
    const auto latents = generator_->latents(requests, options_.sampler, runtime_.seed);
    std::map<std::string, double> seconds;
    std::vector<std::string> names, xrays;
    const auto record = [&] {
      folder_.record(names, seconds);
      folder_.record_failures({}, xrays);
    };
    try {
      const auto hu = generator_->decode(latents);
      const double each = seconds_since(start) / double(batch.size());
      for (size_t i = 0; i < batch.size(); ++i) {
        write(batch[i], hu[int64_t(i)], latents[int64_t(i)]);
        names.push_back(batch[i].name);
        xrays.push_back(xray_of(batch[i]).unique);
        seconds[batch[i].name] = each;
        ++made_;
      }
    } catch (...) {
      record();
      throw;
    }
    record();
  }

  void write(const SampleItem& item, const at::Tensor& hu, const at::Tensor& latent) {
    const CxrItem& xray = xray_of(item);
    const LoadedCxr& cxr = *load(item.xray);
    const Volume volume{hu.contiguous(), cxr.place.origin_mm, cxr.place.spacing_mm,
                        cxr.place.direction};
    folder_.write(volume, generator_->info().window, latent.to(at::kCPU), cxr.picture[0],
                  {.name = item.name,
                   .case_id = xray.id,
                   .patient_id = xray.patient_id,
                   .split = xray.split,
                   .sample = item.sample,
                   .seed = runtime_.seed,
                   .cxr_path = xray.cxr.string(),
                   .cxr_sha256 = cxr.sha256,
                   .model_hash = generator_->model_hash(),
                   .dataset_hash = generator_->info().hash,
                   .settings = settings_,
                   .sampler = options_.sampler,
                   .precision = runtime_.precision,
                   .placed_by = cxr.placed_by,
                   .novelty = cxr.novelty});
  }

  fs::path spread_file(const CxrItem& xray, const char* kind) const {
    return job_.out / "uncertainty" / fmt::format("{}_{}.nii.gz", xray.unique, kind);
  }

  // X-rays with several samples whose summary is missing or older than these settings.
  std::set<size_t> unfinished_groups() const {
    std::set<size_t> groups;
    if (options_.samples_per_cxr < 2) return groups;
    std::map<std::string, std::string> summarised;
    if (fs::exists(job_.out / "uncertainty.csv")) {
      const auto table = CsvTable::read(job_.out / "uncertainty.csv");
      for (size_t r = 0; r < table.size(); ++r)
        summarised[table.get(r, "xray")] = table.get(r, "summary_of");
    }
    for (const auto& item : own_) {
      const auto& xray = xray_of(item);
      const auto found = summarised.find(xray.unique);
      const bool fresh = found != summarised.end() && found->second == summary_key() &&
                         fs::exists(spread_file(xray, "std"));
      if (!fresh) groups.insert(item.xray);
    }
    for (const auto& item : todo_) groups.insert(item.xray);
    return groups;
  }

  std::string summary_key() const {
    return fmt::format("{}/{}/{}", settings_, options_.samples_per_cxr, job_.classifier.string());
  }

  void finish_groups() {
    const auto groups = unfinished_groups();
    if (groups.empty()) return;
    std::map<size_t, std::vector<const SampleItem*>> members;
    for (const auto& item : own_) {
      if (groups.count(item.xray) &&
          folder_.existing(item.name, xray_of(item).id, item.sample, settings_) == Existing::same) {
        members[item.xray].push_back(&item);
      }
    }
    Progress progress("spread", int64_t(members.size()));
    for (const auto& [xray, items] : members) {
      stop_if_interrupted();
      if (items.size() == size_t(options_.samples_per_cxr)) summarise(xray, items);
      loaded_.erase(xray);
      progress.advance();
    }
  }

  void summarise(size_t index, const std::vector<const SampleItem*>& items) {
    const LoadedCxr* cxr = load(index);
    if (cxr == nullptr) return;
    const CxrItem& xray = job_.xrays[index];
    const Ranking ranking = ranked(items, *cxr);
    std::vector<fs::path> files;
    for (const auto* item : items) files.push_back(folder_.volume_file(item->name));
    const Spread spread = spread_of(files);
    write_nifti(spread.mean, spread_file(xray, "mean"),
                "SYNTHETIC mean of CTPA samples by x2ctpa, research use only");
    write_nifti(spread.std, spread_file(xray, "std"),
                "SYNTHETIC std (HU) of CTPA samples by x2ctpa, research use only", false);
    folder_.merge("ranking.csv", ranking.rows, "name");
    CsvTable row({"xray", "case_id", "samples", "mean_file", "std_file", "mean_std_hu",
                  "p95_std_hu", "best_sample", "pe_mean", "pe_std", "pe_min", "pe_max",
                  "unlike_training", "summary_of"});
    const auto relative = [&](const char* kind) {
      return fs::relative(spread_file(xray, kind), job_.out).string();
    };
    std::vector<std::string> cells{xray.unique,
                                   xray.id,
                                   std::to_string(items.size()),
                                   relative("mean"),
                                   relative("std"),
                                   fmt::format("{:.4g}", spread.std.hu.mean().item<double>()),
                                   fmt::format("{:.4g}", quantile(spread.std.hu, 0.95)),
                                   ranking.best};
    for (const auto& cell : spread_cells(ranking.pe)) cells.push_back(cell);
    cells.push_back(!cxr->novelty ? "" : cxr->novelty->unlike_training() ? "1" : "0");
    cells.push_back(summary_key());
    row.add(cells);
    folder_.merge("uncertainty.csv", row, "xray");
  }

  struct Ranking {
    CsvTable rows{
        {"name", "xray", "case_id", "sample", "rank", "projection_similarity", "pe_score"}};
    std::string best;
    std::vector<double> pe;
  };

  Ranking ranked(const std::vector<const SampleItem*>& items, const LoadedCxr& cxr) {
    Ranking ranking;
    std::vector<std::pair<double, size_t>> order;
    for (size_t i = 0; i < items.size(); ++i) {
      const Volume volume = read_volume(folder_.volume_file(items[i]->name));
      order.push_back({-projection_similarity(volume, cxr.picture, generator_->info()), i});
      if (scorer_) ranking.pe.push_back(scorer_->score(volume, generator_->info().window));
    }
    std::sort(order.begin(), order.end());
    for (size_t place = 0; place < order.size(); ++place) {
      const auto& [negative, i] = order[place];
      const CxrItem& xray = xray_of(*items[i]);
      ranking.rows.add({items[i]->name, xray.unique, xray.id, std::to_string(items[i]->sample),
                        std::to_string(place + 1), fmt::format("{:.4f}", -negative),
                        scorer_ ? fmt::format("{:.9g}", ranking.pe[i]) : ""});
    }
    ranking.best = items[order[0].second]->name;
    return ranking;
  }

  static double quantile(const at::Tensor& values, double q) {
    const auto flat = values.flatten();
    return std::get<0>(flat.kthvalue(std::max<int64_t>(1, int64_t(q * double(flat.numel())))))
        .item<double>();
  }

  static std::vector<std::string> spread_cells(const std::vector<double>& values) {
    if (values.empty()) return {"", "", "", ""};
    const auto v = at::tensor(values, at::kDouble);
    std::vector<std::string> cells;
    for (const auto& x : {v.mean(), v.std(), v.min(), v.max()})
      cells.push_back(fmt::format("{:.6g}", x.item<double>()));
    return cells;
  }

  ExitCode report() {
    const double seconds = seconds_since(start_);
    log_info("{} volumes made in {:.0f} s ({:.2f} s each){} in {}", made_, seconds,
             made_ > 0 ? seconds / double(made_) : 0.0,
             already_ > 0 ? fmt::format(", {} were there", already_) : "", job_.out.string());
    if (unlike_ > 0)
      log_warning(
          "{} X-rays are unlike those of the training set; see unlike_training in samples.csv",
          unlike_);
    if (failed_.empty()) return ExitCode::ok;
    log_warning("{} X-rays gave no volume; failures.csv says why", failed_.size());
    return made_ + already_ == 0 ? ExitCode::no_data : ExitCode::partial;
  }

  SampleJob job_;
  SampleOptions options_;
  RuntimeOptions runtime_;
  SampleFolder folder_;
  std::set<std::string> names_;  // of all shards' volumes
  std::vector<SampleItem> own_, todo_;
  std::string model_hash_, settings_;
  std::unique_ptr<CtpaGenerator> generator_;
  std::unique_ptr<PeScorer> scorer_;
  std::map<size_t, LoadedCxr> loaded_;
  std::map<std::string, std::pair<std::string, std::string>>
      failed_;  // X-ray to its path and reason
  size_t made_ = 0, already_ = 0, unlike_ = 0;
  Clock::time_point start_;
};

}  // namespace

ExitCode run_samples(const SampleJob& job, const SampleOptions& options,
                     const RuntimeOptions& runtime) {
  return SampleRun(job, options, runtime).run();
}

}  // namespace x2ctpa
