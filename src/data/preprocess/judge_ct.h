// What is doubtful of a CT: its values, its geometry, its anatomy.
#pragma once

#include <string>
#include <vector>

#include "data/preprocess/preprocess_case.h"
#include "x2ctpa/data/preprocess/findings.h"

namespace x2ctpa {

/// What was measured on the scan of a prepared case, all but the hash of its voxels; what is found
/// of it goes to `findings`, with `study` for its place. The case must keep its scan.
CtFacts judge_ct(const PreparedCase& prepared, const PreprocessOptions& options,
                 const std::string& study, std::vector<Finding>& findings);

}  // namespace x2ctpa
