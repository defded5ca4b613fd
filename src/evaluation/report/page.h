// The page of a report: one HTML file that shows a JSON file and needs no network.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace x2ctpa {

/// The text of a JSON file. Bytes that are no UTF-8, as headers of foreign files may hold them,
/// become U+FFFD.
std::string json_text(const nlohmann::ordered_json& json);

/// report.html with `data`, the text of the JSON file that it shows, and `pictures`, which the file
/// leaves out: for each case or study shown, PNG files in base64. report.js draws it all from
/// the two. `charts`: whether Chart.js is needed.
std::string report_page(const std::string& data, const nlohmann::ordered_json& pictures,
                        bool charts);

}  // namespace x2ctpa
