// A look at the header of a JPEG within a DICOM file before GDCM reads it: GDCM as distributions
// build it ends the process on an assertion where its JPEG library only warns.
#pragma once

#include <cstdint>
#include <string>

#include "imaging/dicom/byte_window.h"

namespace x2ctpa {

/// What the DICOM header says of the picture; 0: nothing, or it is of no account.
struct JpegExpectation {
  int64_t rows = 0, columns = 0, bits_stored = 0;
};

/// Why GDCM must not see the `length` bytes from `at`, or "". What does not begin as a JPEG passes.
std::string jpeg_fault(ByteWindow& bytes, uint64_t at, uint64_t length,
                       const JpegExpectation& expected);

}  // namespace x2ctpa
