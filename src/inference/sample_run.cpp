#include "x2ctpa/inference/sample_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "inference/loaded_xrays.h"
#include "inference/sample_context.h"
#include "inference/sample_plan.h"
#include "inference/sample_spread.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/latent_cache.h"
#include "x2ctpa/inference/ctpa_generator.h"
#include "x2ctpa/inference/uncertainty.h"
#include "x2ctpa/models/linear_mean.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// All that a volume depends on besides its X-ray, as 16 hexadecimal digits.
std::string settings_of(const std::string& model_hash, const SampleOptions& options,
                        const RuntimeOptions& runtime, bool left_out_means) {
  std::string text =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", model_hash, options_to_yaml(options.sampler),
                  options_to_yaml(options.cxr), options.label, runtime.seed, runtime.precision);
  if (left_out_means) text += "\nleft out means";
  if (options.views != SampleViews::given) text += fmt::format("\nviews: {}", options.views);
  if (options.projection.is_on()) text += "\n" + options_to_yaml(options.projection);
  return sha256(text).substr(0, 16);
}

// The means of training cases by fits without them, of a model that lies in the run of its training
// and for the dataset of that training.
std::optional<LatentCache> left_out_means(const SampleJob& job) {
  const auto folder = job.model.parent_path() / "means", mean = job.model / "mean";
  if (job.dataset_hash.empty() || !fs::is_directory(folder) || !fs::is_directory(mean))
    return std::nullopt;
  LatentCache cache(folder, left_out_means_key(mean, job.dataset_hash));
  if (!fs::is_directory(cache.folder())) return std::nullopt;
  return cache;
}

// All that a summary of several samples depends on, likewise. A classifier counts by its files, not
// by its place, which is nobody else's business.
std::string spread_settings_of(const std::string& settings, const SampleJob& job,
                               const SampleOptions& options) {
  std::string text = fmt::format("{}\n{}\n", settings, options.samples_per_cxr);
  std::set<fs::path> files;
  std::error_code absent;  // the classifier's own reader says it better
  for (fs::recursive_directory_iterator it(job.classifier, absent);
       !absent && it != fs::recursive_directory_iterator(); it.increment(absent)) {
    const auto ending = it->path().extension();
    if (ending == ".yaml" || ending == ".safetensors") files.insert(it->path());
  }
  for (const auto& file : files) text += sha256_of_file(file);
  return sha256(text).substr(0, 16);
}

int64_t label_of(const SampleOptions& options) {
  if (options.label == SampleLabel::unknown) return label_unknown;
  return options.label == SampleLabel::positive ? label_positive : label_negative;
}

// Makes the volumes of a plan, batch by batch.
class SampleMaker {
 public:
  SampleMaker(const SampleContext& run, const SamplePlan& plan, CtpaGenerator& generator,
              LoadedXrays& xrays, const std::optional<LatentCache>& means)
      : run_(run), plan_(plan), generator_(generator), xrays_(xrays), means_(means) {}

  void make_all() {
    const std::string of_shard =
        run_.job.shard.count > 1
            ? fmt::format(" {}/{}", run_.job.shard.index + 1, run_.job.shard.count)
            : "";
    Progress progress("sample" + of_shard, int64_t(plan_.own.size()),
                      int64_t(plan_.own.size() - plan_.todo.size()));
    size_t batch_size = size_t(run_.options.batch_size), next = 0;
    while (next < plan_.todo.size()) {
      stop_if_interrupted();
      std::vector<SampleItem> batch;
      const size_t first = next;
      for (; next < plan_.todo.size() && batch.size() < batch_size; ++next) {
        if (xrays_.load(plan_.todo[next].xray)) batch.push_back(plan_.todo[next]);
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
      if (next < plan_.todo.size()) xrays_.forget_before(plan_.todo[next].xray);
    }
    progress.finish();
  }

  size_t made() const { return made_; }
  double seconds() const { return seconds_since(start_); }

 private:
  // Undefined for cases that the model's mean was not fitted to.
  at::Tensor left_out_mean(const SampleItem& item) const {
    const CxrItem& xray = run_.xray_of(item);
    const Case c{xray.id, xray.patient_id, xray.split, {}, {}, {}};
    if (!means_ || !xray.of_dataset || !means_->has(c)) return {};
    const auto mean = means_->get(c).to(at::kFloat);
    if (generator_.views() == CxrViews::frontal) return mean;
    return mean[view_sets_of(xrays_.load(item.xray)->pictures.unsqueeze(0)).item<int64_t>()];
  }

  void make(const std::vector<SampleItem>& batch) {
    const auto start = Clock::now();
    std::vector<SampleRequest> requests;
    for (const auto& item : batch)
      requests.push_back({run_.xray_of(item).id, xrays_.load(item.xray)->pictures, item.sample,
                          label_of(run_.options), left_out_mean(item)});
    const auto latents = generator_.latents(requests, run_.options.sampler, run_.runtime.seed,
                                            run_.options.projection);
    std::map<std::string, double> seconds;
    std::vector<std::string> names, xrays;
    const auto record = [&] {
      run_.folder.record(names, seconds);
      run_.folder.record_failures({}, xrays);
    };
    try {
      const auto hu = generator_.decode(latents, requests);
      const double each = seconds_since(start) / double(batch.size());
      for (size_t i = 0; i < batch.size(); ++i) {
        write(batch[i], hu[int64_t(i)], latents[int64_t(i)], requests[i].mean.defined());
        names.push_back(batch[i].name);
        xrays.push_back(run_.xray_of(batch[i]).unique);
        seconds[batch[i].name] = each;
        ++made_;
      }
    } catch (...) {
      record();
      throw;
    }
    record();
  }

  // What a model of both views was given; empty for another.
  std::string views_of(const LoadedCxr& cxr) const {
    if (generator_.views() == CxrViews::frontal) return {};
    const auto set = view_sets_of(cxr.pictures.unsqueeze(0)).item<int64_t>();
    return std::string(word_of(ViewSet(set)));
  }

  void write(const SampleItem& item, const at::Tensor& hu, const at::Tensor& latent,
             bool left_out_mean) {
    const CxrItem& xray = run_.xray_of(item);
    const LoadedCxr& cxr = *xrays_.load(item.xray);
    const Volume volume{hu.contiguous(), cxr.place.origin_mm, cxr.place.spacing_mm,
                        cxr.place.direction};
    run_.folder.write(volume, generator_.info().window, latent.to(at::kCPU),
                      first_view(cxr.pictures)[0],
                      {.name = item.name,
                       .case_id = xray.id,
                       .patient_id = xray.patient_id,
                       .split = xray.split,
                       .sample = item.sample,
                       .seed = run_.runtime.seed,
                       .cxr_path = (cxr.cxr.empty() ? cxr.cxr_lateral : cxr.cxr).string(),
                       .cxr_sha256 = cxr.cxr.empty() ? cxr.lateral_sha256 : cxr.sha256,
                       .views = views_of(cxr),
                       .lateral_path = cxr.cxr_lateral.string(),
                       .lateral_sha256 = cxr.lateral_sha256,
                       .model_hash = generator_.model_hash(),
                       .dataset_hash = generator_.info().hash,
                       .settings = run_.settings,
                       .sampler = run_.options.sampler,
                       .projection = run_.options.projection,
                       .precision = std::string(word_of(run_.runtime.precision)),
                       .placed_by = cxr.placed_by,
                       .left_out_mean = left_out_mean,
                       .novelty = cxr.novelty});
  }

  const SampleContext& run_;
  const SamplePlan& plan_;
  CtpaGenerator& generator_;
  LoadedXrays& xrays_;
  const std::optional<LatentCache>& means_;
  size_t made_ = 0;
  Clock::time_point start_ = Clock::now();
};

// What a step costs with guidance by projection and without it.
void report_guidance(const StepSeconds& spent) {
  if (spent.guided == 0) return;
  const double plain = spent.plain / double(spent.steps),
               guided = plain + spent.guidance / double(spent.guided);
  log_info(
      "guidance by projection: a step of a volume takes {:.4f} s, a guided one {:.4f} s ({:.1f} "
      "times), and {} of {} were guided",
      plain, guided, guided / plain, spent.guided, spent.steps);
}

// Volumes that were asked for and are not there, since others have their names.
ExitCode report_in_the_way(const SamplePlan& plan) {
  if (plan.in_the_way == 0) return ExitCode::ok;
  log_warning(
      "{} of {} volumes were not made: volumes of other settings (seed, sampler, model) or other "
      "makers have their names, and stay as they are. --on-conflict overwrite replaces them, "
      "suffix keeps both, and another --out parts them.",
      plan.in_the_way, plan.own.size());
  return ExitCode::partial;
}

ExitCode report(const SampleContext& run, const SamplePlan& plan, const SampleMaker& maker,
                const LoadedXrays& xrays) {
  const double seconds = maker.seconds();
  const size_t already = plan.already;
  log_info("{} made in {:.0f} s ({:.2f} s each){} in {}", counted(int64_t(maker.made()), "volume"),
           seconds, maker.made() > 0 ? seconds / double(maker.made()) : 0.0,
           already > 0 ? fmt::format(", {} there before", already) : "", run.job.out.string());
  xrays.finish();
  const ExitCode code = report_in_the_way(plan);
  if (xrays.failed() == 0) return code;
  log_warning("{} gave no volume; failures.csv says why",
              counted(int64_t(xrays.failed()), "X-ray"));
  return maker.made() + already + plan.in_the_way == 0 ? ExitCode::no_data : ExitCode::partial;
}

}  // namespace

ExitCode run_samples(const SampleJob& job, const SampleOptions& options,
                     const RuntimeOptions& runtime) {
  SampleContext run{job, options, runtime, SampleFolder(job.out, options), ""};
  auto samples = samples_of(job.xrays, options.samples_per_cxr, options.name, runtime.seed);
  const std::string model_hash = CtpaGenerator::hash_of(job.model);
  check_projection_guidance(options.projection, job.model);
  const auto means = left_out_means(job);
  run.settings = settings_of(model_hash, options, runtime, means.has_value());
  run.spread_settings = spread_settings_of(run.settings, job, options);
  const SamplePlan plan = plan_samples(run, std::move(samples));
  const auto groups = unsummarised_xrays(run, plan);
  if (plan.todo.empty() && groups.empty()) {
    if (plan.in_the_way == 0)
      log_info("nothing to do: {} in {} already",
               counted(int64_t(plan.own.size()), "volume is", "volumes are"), job.out.string());
    return report_in_the_way(plan);
  }
  std::unique_ptr<PeScorer> scorer;
  if (!job.classifier.empty()) scorer = std::make_unique<PeScorer>(job.classifier, runtime);
  CtpaGenerator generator(job.model, runtime, model_hash);
  LoadedXrays xrays(run, generator);
  SampleMaker maker(run, plan, generator, xrays, means);
  maker.make_all();
  report_guidance(generator.step_seconds());
  SampleSpread(run, generator.info(), xrays, scorer.get()).summarise(plan.own, groups);
  return report(run, plan, maker, xrays);
}

}  // namespace x2ctpa
