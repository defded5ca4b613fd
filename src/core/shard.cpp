#include "x2ctpa/core/shard.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

bool parse(std::string_view text, int64_t& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool fits(const Shard& shard) { return shard.index >= 0 && shard.index < shard.count; }

}  // namespace

Shard shard_from(const std::string& text) {
  Shard shard;
  if (!text.empty()) {
    const std::string_view view = text;
    const size_t slash = view.find('/');
    const bool read = slash != view.npos && parse(view.substr(0, slash), shard.index) &&
                      parse(view.substr(slash + 1), shard.count);
    --shard.index;
    if (read && fits(shard)) return shard;
    throw Error(
        fmt::format("--shard must be i/n with i from 1 to n, such as 2/4, found \"{}\"", text));
  }
  const bool batch_script = std::getenv("SLURM_JOB_ID") && !std::getenv("SLURM_STEP_ID");
  for (const auto& [rank, size] :
       {std::pair("RANK", "WORLD_SIZE"), std::pair("SLURM_PROCID", "SLURM_NTASKS")}) {
    if (rank[0] == 'S' && batch_script) continue;
    const char *index = std::getenv(rank), *count = std::getenv(size);
    if (!index || !count) continue;
    if (parse(index, shard.index) && parse(count, shard.count) && fits(shard)) return shard;
    throw Error(fmt::format("the variables {}={} and {}={} do not fit", rank, index, size, count));
  }
  return shard;
}

}  // namespace x2ctpa
