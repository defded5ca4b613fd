// Which way a volume file says that its axes run, where its header says two things or nothing.
#pragma once

#include <filesystem>

#include "imaging/files/image_file.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {

/// Settles `header`'s direction, spacing and origin, as read by ITK, where the file leaves a choice
/// or says nothing, and adds to `doubts` what was found and done (docs/preprocess.md has the rule).
/// `tolerant`: for looking at a file, so that nothing is refused.
/// Throws SeriesError: forms-contradict, no-orientation.
void settle_place(const std::filesystem::path& file, NiftiForm wanted, bool tolerant,
                  ImageHeader& header, VolumeDoubts& doubts);

}  // namespace x2ctpa
