// Two processes that train together, through the program and scripts/launch.sh.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "commands/training_fixture.h"
#include "x2ctpa/core/safetensors.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using test::Stage;
using test::stages;
using test::TinyTraining;

const std::string two_processes = std::string(X2CTPA_SOURCE_DIR) + "/scripts/launch.sh -n 2 -- ";

// Norm of the difference of the first moments as a share of their norm: with the same state before,
// only the gradients of the last step can make one.
double gradient_error(const fs::path& a, const fs::path& b) {
  const auto one = read_safetensors(a), other = read_safetensors(b);
  double difference = 0, size = 0;
  for (const auto& [name, tensor] : one) {
    if (name.rfind("optimiser.first", 0) != 0) continue;
    difference += (tensor - other.at(name)).square().sum().item<double>();
    size += tensor.square().sum().item<double>();
  }
  EXPECT_GT(size, 0);
  return std::sqrt(difference / size);
}

TEST_F(TinyTraining, TwoProcessesHaveTheGradientOfOneWithTheJointBatch) {
  for (const Stage& stage : stages) {
    if (stage.folder == "classifier/ctpa") continue;  // its batch norms see the own batch alone
    const std::string section = stage.folder == "vae" ? "vae" : "diffusion";
    const fs::path joint = new_run("joint") / stage.folder,
                   shared = new_run("shared") / stage.folder;
    // The noise of a batch follows from its number, so two batches of one process are those of two.
    const std::string more =
        section == "vae" ? " --vae.train.batch_size 4" : " --diffusion.train.accumulate 2";
    ASSERT_EQ(x2ctpa(stage.command + more + " --max-steps 1", "joint").exit_code, 130);
    // A codebook that one step has made: its first codes come from the first process's cases alone.
    fs::create_directories(shared);
    fs::copy(joint / "checkpoints", shared / "checkpoints", fs::copy_options::recursive);
    ASSERT_EQ(x2ctpa(stage.command + more + " --max-steps 1", "joint").exit_code, 130);
    const auto two = x2ctpa(stage.command + " --force --max-steps 1", "shared", two_processes);
    ASSERT_EQ(two.exit_code, 130) << two.err;
    const char* second = "checkpoints/step-000000002.safetensors";
    EXPECT_LT(gradient_error(joint / second, shared / second), 1e-5) << stage.command;
  }
}

// Two processes of the program that follows, the second of which gets `signal` once the metrics
// have `lines` lines.
std::string second_signalled_at(const fs::path& metrics, int lines,
                                const std::string& signal = "KILL") {
  return fmt::format(
      "{}bash -c 'if [ $RANK = 1 ]; then \"$@\" & pid=$!; while [ $(cat {} 2>/dev/null | wc -l) "
      "-lt {} ]; "
      "do sleep 0.01; done; kill -{} $pid; wait $pid; else exec \"$@\"; fi' x ",
      two_processes, metrics.string(), lines, signal);
}

TEST_F(TinyTraining, TwoProcessesResumeBitForBit) {
  for (const Stage& stage : stages) {
    const fs::path whole = new_run("whole2") / stage.folder,
                   broken = new_run("broken2") / stage.folder;
    const std::string steps = stage.folder == "vae"         ? " --vae.train.steps 60"
                              : stage.folder == "diffusion" ? " --diffusion.train.steps 60"
                                                            : " --classifier.train.steps 60";
    ASSERT_EQ(x2ctpa(stage.command + steps, "whole2", two_processes).exit_code, 0);
    ASSERT_NE(
        x2ctpa(stage.command + steps, "broken2", second_signalled_at(broken / "metrics.jsonl", 23))
            .exit_code,
        0);
    const auto stopped = x2ctpa(stage.command + steps, "broken2",
                                signal_at(broken / "metrics.jsonl", 43, "TERM") + two_processes);
    ASSERT_EQ(stopped.exit_code, 130) << stopped.err;
    const auto last = x2ctpa(stage.command + steps, "broken2", two_processes);
    ASSERT_EQ(last.exit_code, 0) << last.err;
    const char* end = "checkpoints/step-000000060.safetensors";
    EXPECT_TRUE(read_file(whole / end) == read_file(broken / end)) << stage.command;
    EXPECT_EQ(metrics(whole / "metrics.jsonl"), metrics(broken / "metrics.jsonl"));
  }
}

TEST_F(TinyTraining, AProcessThatDiesEndsTheOtherWithItsCause) {
  const fs::path run = new_run("cause");
  fs::remove(run / "dataset");
  fs::copy(root_ / "base" / "dataset", run / "dataset", fs::copy_options::recursive);
  // The second process alone does not find the volumes.
  const std::string one_breaks = fmt::format(
      "{}bash -c 'if [ $RANK = 1 ]; then exec \"$@\" --dataset {}/nowhere; else exec \"$@\"; fi' "
      "x ",
      two_processes, root_.string());
  const auto result = x2ctpa("train-vae", "cause", one_breaks);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_NE(result.err.find("since process 2 ended"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("nowhere"), std::string::npos) << result.err;
}

TEST_F(TinyTraining, AKilledProcessEndsTheOtherAndTheRunGoesOn) {
  const fs::path run = new_run("killed2");
  const auto result =
      x2ctpa("train-vae", "killed2", second_signalled_at(run / "vae" / "metrics.jsonl", 25));
  EXPECT_NE(result.exit_code, 0);
  EXPECT_NE(result.err.find("another process was lost"), std::string::npos) << result.err;
  const auto after = x2ctpa("train-vae --max-steps 1", "killed2", two_processes);
  EXPECT_EQ(after.exit_code, 130) << after.err;
  EXPECT_NE(after.err.find("going on from step"), std::string::npos) << after.err;
}

// What a write to a lost process's socket sends.
TEST_F(TinyTraining, ABrokenPipeEndsNoProcess) {
  const fs::path run = new_run("pipe");
  const auto result = x2ctpa("train-vae --vae.train.steps 60", "pipe",
                             second_signalled_at(run / "vae" / "metrics.jsonl", 5, "PIPE"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

}  // namespace
}  // namespace x2ctpa
