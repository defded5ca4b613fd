// The views of a chest X-ray, and the X-rays of a patient as one tensor.
//
// X-rays of V views are (B, V, S, S) in [0, 1]: frontal, then lateral. A view that is not there is
// NaN throughout, so that what is missing travels with the pictures and cannot be overlooked.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>

namespace x2ctpa {

enum class CxrView { frontal, lateral };
constexpr auto words(CxrView) { return std::array{"frontal", "lateral"}; }

/// Those of a dataset or a model: frontal alone, or frontal and lateral.
enum class CxrViews { frontal, both };
constexpr auto words(CxrViews) { return std::array{"frontal", "both"}; }

constexpr int64_t view_count(CxrViews views) { return views == CxrViews::both ? 2 : 1; }

/// The views that are there: one, the other, or both. Each set has models of its own where these
/// are fitted in closed form; those of the frontal view are the only ones of a frontal model.
enum class ViewSet { frontal, lateral, both };
constexpr auto words(ViewSet) { return std::array{"frontal", "lateral", "both"}; }
constexpr int64_t view_sets = 3;

/// How many sets models of these views are fitted for.
constexpr int64_t view_set_count(CxrViews views) { return views == CxrViews::both ? view_sets : 1; }

/// A picture (1, S, S) that is not there.
at::Tensor missing_view(int64_t size);

/// The first view (1, S, S) that is there of a patient's (V, S, S), to be shown.
at::Tensor first_view(const at::Tensor& cxr);

/// (B, V) bool: which views of X-rays (B, V, S, S) are there.
at::Tensor views_there(const at::Tensor& cxr);

/// (B) int64 on the CPU: the number of the ViewSet of each of X-rays (B, V, S, S). Throws Error
/// where a patient has none.
at::Tensor view_sets_of(const at::Tensor& cxr);

/// X-rays (B, 2, S, S) with those views alone that are in `set` as well; views stay missing.
at::Tensor only_views(const at::Tensor& cxr, ViewSet set);

/// Of tensors (B, view_set_count, ...) those of each one's set: (B, ...).
at::Tensor of_view_sets(const at::Tensor& each, const at::Tensor& sets);

/// What `f(set, rows)` gives for each set among `sets` (B), put together in their order. `rows`:
/// the numbers of those of the set, undefined where it is everybody's.
at::Tensor over_view_sets(const at::Tensor& sets,
                          const std::function<at::Tensor(int64_t set, const at::Tensor& rows)>& f);

/// The rows `rows` of `x`; all where either is undefined.
at::Tensor rows_of(const at::Tensor& x, const at::Tensor& rows);

}  // namespace x2ctpa
