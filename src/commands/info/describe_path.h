// What lies at a path, as JSON; behind `x2ctpa info`.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace x2ctpa {

/// One object with the key `kind`: "dataset", "dicom", "experiment", "model", "run", "safetensors",
/// "volume" or "xray", and what is worth knowing about it. Sizes, spacings and origins are in the
/// order x, y, z. Throws Error when there is nothing at `path` or nothing that x2ctpa knows.
nlohmann::ordered_json describe_path(const std::filesystem::path& path);

/// The networks of an experiment file and their parameters. Throws Error for a file that is none.
nlohmann::ordered_json describe_experiment(const std::filesystem::path& file);

/// The program, its libraries and the machine.
nlohmann::ordered_json describe_program();

}  // namespace x2ctpa
