// Parts of the evaluation report.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "x2ctpa/evaluation/evaluation.h"

namespace x2ctpa {

/// Text with &, <, >, " escaped.
std::string html_escaped(std::string_view text);
std::string base64(std::string_view bytes);

/// A table; cells are HTML. `right_from` is the first column that is set flush right.
std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows, size_t right_from = 1);

/// The small print below a table or chart.
std::string html_protocol(const std::string& text);

/// The PE experiment: table beside the published one, tests, ROC, calibration, net benefit.
std::string html_scores(const Evaluation& evaluation);

/// Tri-planar pictures with sliders and MIP of some cases from best to worst PSNR: true, generated,
/// difference, and their DRRs beside the X-ray.
std::string html_pictures(const Evaluation& evaluation);

/// What report.js draws: PSNR by case, differences, ROC curves, scores, training curves.
nlohmann::json chart_data(const Evaluation& evaluation);

}  // namespace x2ctpa
