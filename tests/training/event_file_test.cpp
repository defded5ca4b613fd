#include "x2ctpa/training/event_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

// The payloads of a TFRecord file whose checksums fit.
std::vector<std::string> records(const std::string& bytes) {
  std::vector<std::string> out;
  const auto number = [&](size_t at) {
    uint32_t value;
    std::memcpy(&value, bytes.data() + at, 4);
    return value;
  };
  const auto masked = [](uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; };
  for (size_t at = 0; at < bytes.size();) {
    const uint32_t length = number(at);
    EXPECT_EQ(number(at + 8), masked(crc32c(bytes.substr(at, 8))));
    out.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(number(at + 12 + length), masked(crc32c(out.back())));
    at += 16 + length;
  }
  return out;
}

TEST(EventFile, ChecksumIsThatOfTheStandard) { EXPECT_EQ(crc32c("123456789"), 0xe3069283u); }

TEST(EventFile, ARecordHoldsTagStepAndValueAsTheProtocolSays) {
  const test::TemporaryFolder folder;
  EventFile file(folder.path(), 1);
  file.scalar("train/loss", 300, 0.5);
  file.flush();
  const auto written = std::filesystem::directory_iterator(folder.path())->path();
  const auto all = records(read_file(written));
  ASSERT_EQ(all.size(), 3u);
  // wall_time is a double after one byte; then step = 300 as a varint, and the summary.
  EXPECT_EQ(all[2].substr(9),
            std::string("\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0atrain/loss\x15\x00\x00\x00\x3f", 24));
}

}  // namespace
}  // namespace x2ctpa
