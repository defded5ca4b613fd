// The data doctor's report: as text, JSON and an HTML page that needs no network.
#pragma once

#include <string>

#include "x2ctpa/data/check/check.h"

namespace x2ctpa {

std::string check_text(const CheckReport& report);
std::string check_json(const CheckReport& report);
std::string check_html(const CheckReport& report, const std::string& title);

}  // namespace x2ctpa
