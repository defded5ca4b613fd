// Most machines that run these tests have neither a GPU nor LibTorch's CUDA libraries: each test
// says what it needs.
#include "x2ctpa/core/cuda_library.h"

#include <ATen/Context.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/version.h"

namespace x2ctpa {
namespace {

bool has_driver() { return dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr; }

TEST(CudaLibrary, IsNotLoadedWithoutADriverAndSaysSo) {
  if (has_driver()) GTEST_SKIP() << "a driver is here";
  EXPECT_EQ(cuda_state().library, nullptr);
  EXPECT_EQ(cuda_state().driver, 0);
  EXPECT_FALSE(cuda_state().unexpected);
  EXPECT_NE(cuda_state().why_not.find("libcuda.so.1"), std::string::npos) << cuda_state().why_not;
  EXPECT_TRUE(select_device({.device = "auto"}).is_cpu());
}

TEST(CudaLibrary, ADeviceThatCannotBeUsedIsRefusedWithTheReason) {
  if (cuda_state().library != nullptr) GTEST_SKIP() << "a GPU is here";
  for (const char* device : {"cuda", "cuda:1"}) {
    try {
      select_device({.device = device});
      ADD_FAILURE() << device;
    } catch (const Error& e) {
      const std::string text = e.what();
      EXPECT_NE(text.find(cuda_state().why_not), std::string::npos) << text;
      EXPECT_NE(text.find("--runtime.device cpu"), std::string::npos) << text;
      EXPECT_EQ(e.code(), ExitCode::usage);
    }
  }
}

TEST(CudaLibrary, IsLoadedAndRegistersWithoutADriverOrSaysWhatIsMissing) {
  configure_runtime({.threads = 1, .deterministic = true});
  const CudaState state = load_cuda_library();
  if (state.library == nullptr) {
    EXPECT_NE(state.why_not.find("scripts/setup.sh --cuda"), std::string::npos) << state.why_not;
    GTEST_SKIP() << state.why_not;
  }
  EXPECT_EQ(std::string(state.library->version), version());
  EXPECT_GE(state.library->cuda, 12000);
  EXPECT_NE(state.library->record, nullptr);
  EXPECT_NE(state.library->open_nccl, nullptr);
  // The program asked LibTorch for no GPU before, so that it sees the kernels that came late.
  EXPECT_TRUE(at::detail::getCUDAHooks().hasCUDART());
}

TEST(CudaLibrary, VersionsOfCudaAreWrittenAsPeopleWriteThem) {
  EXPECT_EQ(cuda_version_text(13000), "13.0");
  EXPECT_EQ(cuda_version_text(12080), "12.8");
}

}  // namespace
}  // namespace x2ctpa
