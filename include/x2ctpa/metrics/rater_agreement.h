// Whether readers agree beyond chance.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace x2ctpa {

/// Cohen's kappa of two readers' categories of the same cases (Educ. Psychol. Meas. 20 (1960) 37).
/// `quadratic`: weighted by the squared distance of the categories (Psychol. Bull. 70 (1968) 213),
/// for ordered scores. NaN when both give every case one category.
/// Throws Error for unequal lengths and no cases.
double cohen_kappa(std::span<const int64_t> first, std::span<const int64_t> second,
                   bool quadratic = false);

/// Fleiss' kappa of any number of readers (Psychol. Bull. 76 (1971) 378). `ratings[i]` holds the
/// categories that the readers gave case i, of one length of 2 or more. NaN when there is one
/// category. Throws Error otherwise.
double fleiss_kappa(const std::vector<std::vector<int64_t>>& ratings);

}  // namespace x2ctpa
