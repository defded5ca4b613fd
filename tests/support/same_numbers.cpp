// Every test draws the same random numbers in every run, whichever tests ran before it: LibTorch's
// own start differs from process to process.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace {

class SameNumbers : public testing::EmptyTestEventListener {
  void OnTestSuiteStart(const testing::TestSuite&) override { at::manual_seed(1); }
  void OnTestStart(const testing::TestInfo&) override { at::manual_seed(1); }
};

[[maybe_unused]] const bool listening = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new SameNumbers);
  return true;
}();

}  // namespace
