#include "x2ctpa/core/checksums.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

void write_model(const fs::path& folder) {
  write_file(folder / "model.safetensors", std::string(1000, 'w'));
  write_file(folder / "autoencoder/config.yaml", "a: 1\n");
  write_file(folder / "README.md", "a card\n");
  write_checksums(folder);
}

std::string refusal(const fs::path& folder) {
  try {
    verify_checksums(folder);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Checksums, AreThoseOfSha256sum) {
  const test::TemporaryFolder folder;
  write_file(folder / "abc.txt", "abc");
  write_checksums(folder.path());
  EXPECT_EQ(read_file(folder / "SHA256SUMS"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc.txt\n");
}

TEST(Checksums, OneFlippedByteIsFound) {
  const test::TemporaryFolder folder;
  write_model(folder.path());
  EXPECT_EQ(verify_checksums(folder.path()), 2);
  std::string weights = read_file(folder / "model.safetensors");
  weights[500] ^= 1;
  write_file(folder / "model.safetensors", weights);
  const std::string said = refusal(folder.path());
  EXPECT_NE(said.find("model.safetensors has another content"), std::string::npos) << said;
  EXPECT_NE(said.find("1 of 2"), std::string::npos) << said;
}

TEST(Checksums, AMissingFileIsFound) {
  const test::TemporaryFolder folder;
  write_model(folder.path());
  fs::remove(folder / "autoencoder/config.yaml");
  EXPECT_NE(refusal(folder.path()).find("autoencoder/config.yaml is missing"), std::string::npos);
}

TEST(Checksums, TheCardMayBeCompletedAndOtherFilesAdded) {
  const test::TemporaryFolder folder;
  write_model(folder.path());
  write_file(folder / "README.md", "a card with a licence\n");
  write_file(folder / ".gitattributes", "*.safetensors filter=lfs\n");
  EXPECT_EQ(verify_checksums(folder.path()), 2);
}

TEST(Checksums, AFolderWithoutThemIsNotJudgedAndADamagedFileOfThemIsRefused) {
  const test::TemporaryFolder folder;
  write_file(folder / "config.yaml", "a: 1\n");
  EXPECT_FALSE(verify_checksums(folder.path()));
  write_file(folder / "SHA256SUMS", "0123  config.yaml\n");
  EXPECT_NE(refusal(folder.path()).find("line 1"), std::string::npos);
}

}  // namespace
}  // namespace x2ctpa
