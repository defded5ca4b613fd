// What lies at a path, as JSON; behind `x2ctpa info`.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace x2ctpa {

/// One object with the key `kind`: "dataset", "dicom", "model", "run", "safetensors", "volume" or
/// "xray", and what is worth knowing about it. Sizes, spacings and origins are in the order x, y,
/// z. Throws Error when there is nothing at `path` or nothing that x2ctpa knows.
nlohmann::ordered_json describe_path(const std::filesystem::path& path);

/// The program, its libraries and the machine.
nlohmann::ordered_json describe_program();

}  // namespace x2ctpa
