// What lies at a path, as JSON; behind `x2ctpa info`.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace x2ctpa {

/// One object with the key `kind`: "dataset", "dicom", "experiment", "model", "run", "safetensors",
/// "samples", "volume" or "xray", and what is worth knowing about it. Sizes, spacings and origins
/// are in the order x, y, z. Throws Error when there is nothing at `path` or nothing that x2ctpa
/// knows.
nlohmann::ordered_json describe_path(const std::filesystem::path& path);

/// The networks of an experiment file and their parameters. Throws Error for a file that is none.
nlohmann::ordered_json describe_experiment(const std::filesystem::path& file);

/// The program, its libraries and the machine.
nlohmann::ordered_json describe_program();

/// The parts of a run folder that are there, each with a line that says what it is; none: empty.
nlohmann::ordered_json describe_run_parts(const std::filesystem::path& run);

/// A dataset folder that preprocess has not brought to its end.
nlohmann::ordered_json describe_unfinished_dataset(const std::filesystem::path& folder);

}  // namespace x2ctpa
