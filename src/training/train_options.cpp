#include <cmath>
#include <numbers>

#include "x2ctpa/training/loop.h"

namespace x2ctpa {

void TrainOptions::describe(OptionList& options) {
  options.add("steps", &steps, "Optimiser steps of the whole training.", {.min = 1});
  options.add("batch_size", &batch_size, "Cases per batch, of each process.", {.min = 1});
  options.add("accumulate", &accumulate, "Batches per step whose gradients are averaged.",
              {.min = 1});
  options.add("learning_rate", &learning_rate, "Highest learning rate.", {.min = 0});
  options.add("schedule", &schedule,
              "Course of the learning rate; warm-up: linear, then constant; cosine: falls to 0; "
              "one-cycle: linear warm-up, "
              "then cosine to 0.");
  options.add("warmup_fraction", &warmup_fraction, "Share of the steps that warm up.",
              {.min = 0, .max = 1});
  options.add("optimiser", &optimiser,
              "Adam adds the weight decay to the gradient, adamw applies it apart.");
  options.add("betas", &betas, "The optimiser's averaging factors.",
              {.min = 0, .max = 1, .count = 2});
  options.add("weight_decay", &weight_decay, "The optimiser's weight decay.", {.min = 0});
  options.add("clip_norm", &clip_norm, "Largest joint norm of the gradients; 0: no limit.",
              {.min = 0});
  options.add("ema_decay", &ema_decay, "Decay of the weights' moving average; 0: none.",
              {.min = 0, .max = 1});
  options.add("precision", &precision,
              "Number format of convolutions and matrix products in training; weights, norms, "
              "quantiser and sums stay fp32.");
  options.add("recompute", &recompute,
              "Keep less for the backward pass and compute it anew: less memory, more time.");
  options.add("validate_every", &validate_every, "Steps between validations; 0: none.", {.min = 0});
  options.add("keep_best", &keep_best,
              "End with the weights of the best validation, not with the last.");
  options.add("patience", &patience,
              "Validations without a better one after which the training ends; 0: never.",
              {.min = 0});
  options.add("preview_every", &preview_every,
              "Steps between preview pictures of validation cases; 0: none.", {.min = 0});
  options.add("checkpoint_every", &checkpoint_every, "Steps between checkpoints.", {.min = 1});
  options.add("checkpoint_minutes", &checkpoint_minutes,
              "Longest time without a checkpoint, in minutes; 0: any.", {.min = 0});
  options.add("keep_checkpoints", &keep_checkpoints, "Newest checkpoints kept.", {.min = 1});
  options.add("log_every", &log_every, "Steps between lines of metrics.jsonl.", {.min = 1});
}

double schedule_at(const TrainOptions& options, int64_t step) {
  if (options.schedule == LearningRateCourse::constant) return 1;
  const double warm = options.schedule == LearningRateCourse::cosine
                          ? 0
                          : std::max(1.0, options.warmup_fraction * double(options.steps));
  if (double(step) < warm) return double(step + 1) / warm;
  if (options.schedule == LearningRateCourse::warm_up) return 1;
  const double done = (double(step) - warm) / std::max(1.0, double(options.steps) - warm);
  return 0.5 * (1 + std::cos(std::numbers::pi * done));
}

}  // namespace x2ctpa
