// Ten cases with ties between classes, which several tests score.
#pragma once

#include <vector>

namespace x2ctpa::test {

inline const std::vector<int> case_labels{0, 0, 1, 1, 1, 0, 1, 0, 0, 1};
inline const std::vector<double> case_scores{.1, .4, .4, .8, .4, .2, .9, .8, .1, .35};

}  // namespace x2ctpa::test
