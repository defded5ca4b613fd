#include "x2ctpa/core/cxr_view.h"

#include <ATen/ATen.h>

#include <limits>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

at::Tensor missing_view(int64_t size) {
  return at::full({1, size, size}, std::numeric_limits<float>::quiet_NaN(),
                  at::TensorOptions(at::kFloat));
}

at::Tensor first_view(const at::Tensor& cxr) {
  const bool there = cxr.size(0) == 1 || views_there(cxr.unsqueeze(0))[0][0].item<bool>();
  return cxr.narrow(0, there ? 0 : 1, 1);
}

at::Tensor views_there(const at::Tensor& cxr) {
  return cxr.select(3, 0).select(2, 0).isnan().logical_not();
}

at::Tensor view_sets_of(const at::Tensor& cxr) {
  if (cxr.size(1) == 1) return at::zeros({cxr.size(0)}, at::kLong);
  const auto there = views_there(cxr).to(at::kCPU, at::kLong);
  const auto sum = there.select(1, 0) + 2 * there.select(1, 1);  // 1, 2 or 3
  if ((sum == 0).any().item<bool>()) throw Error("X-rays: a patient has neither view");
  return sum - 1;
}

at::Tensor only_views(const at::Tensor& cxr, ViewSet set) {
  if (set == ViewSet::both) return cxr;
  auto kept = cxr.clone();
  kept.select(1, set == ViewSet::frontal ? 1 : 0).fill_(std::numeric_limits<float>::quiet_NaN());
  return kept;
}

at::Tensor of_view_sets(const at::Tensor& each, const at::Tensor& sets) {
  const auto first = at::arange(each.size(0), at::kLong) * each.size(1);
  return each.flatten(0, 1).index_select(0, (first + sets).to(each.device()));
}

at::Tensor over_view_sets(const at::Tensor& sets,
                          const std::function<at::Tensor(int64_t set, const at::Tensor& rows)>& f) {
  std::vector<at::Tensor> parts, places;
  for (int64_t set = 0; set < view_sets; ++set) {
    const auto rows = at::nonzero(sets == set).flatten();
    if (rows.numel() == sets.numel()) return f(set, {});
    if (rows.numel() == 0) continue;
    parts.push_back(f(set, rows));
    places.push_back(rows);
  }
  const auto order = at::argsort(at::cat(places));
  const auto all = at::cat(parts);
  return all.index_select(0, order.to(all.device()));
}

at::Tensor rows_of(const at::Tensor& x, const at::Tensor& rows) {
  return x.defined() && rows.defined() ? x.index_select(0, rows.to(x.device())) : x;
}

}  // namespace x2ctpa
