// A device for tests of device hygiene: ordinary memory behind LibTorch's PrivateUse1 key. Its
// operators run on the CPU, but its tensors do not mix with CPU tensors: a tensor made on the wrong
// device is an error here as on a GPU. Tensors without dimensions, and indices, may be on the CPU.
// X2CTPA_TEST_DEVICE=cuda:0 in the environment takes that GPU instead.
#pragma once

#include <c10/core/Device.h>

namespace x2ctpa::test {

/// The device; registers its backend on the first call. Call before tensors are moved to it.
c10::Device test_device();

}  // namespace x2ctpa::test
