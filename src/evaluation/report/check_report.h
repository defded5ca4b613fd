// The data doctor's report: as text, JSON and an HTML page that needs no network.
#pragma once

#include <string>

#include "x2ctpa/data/check/check.h"

namespace x2ctpa {

/// The findings, gravest first, with what to do.
std::string check_text(const CheckReport& report);

/// All that was found, as the text of report.json. `title` says what was read.
std::string check_json(const CheckReport& report, const std::string& title);

/// The page that shows `json`, which check_json made of the same report, with its pictures.
std::string check_page(const CheckReport& report, const std::string& json);

}  // namespace x2ctpa
