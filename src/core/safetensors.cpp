#include "x2ctpa/core/safetensors.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

using nlohmann::json;

struct TypeName {
  const char* name;
  at::ScalarType type;
};
constexpr TypeName types[] = {{"F64", at::kDouble},    {"F32", at::kFloat}, {"F16", at::kHalf},
                              {"BF16", at::kBFloat16}, {"I64", at::kLong},  {"I32", at::kInt},
                              {"I16", at::kShort},     {"I8", at::kChar},   {"U8", at::kByte},
                              {"BOOL", at::kBool}};

// A file mapped privately into memory; shared by the tensors that view it.
class Mapping {
 public:
  explicit Mapping(const std::filesystem::path& file) {
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
      throw Error(fmt::format("cannot read {}: {}", file.string(), std::strerror(errno)));
    struct stat info {};
    const bool known = ::fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode);
    size_ = known ? size_t(info.st_size) : 0;
    if (size_ >= 8)
      data_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
    ::close(descriptor);
    if (!known || size_ < 8)
      throw Error(
          fmt::format("{}: expected a safetensors file, found {} bytes", file.string(), size_));
    if (data_ == MAP_FAILED)
      throw Error(
          fmt::format("cannot map {} into memory: {}", file.string(), std::strerror(errno)));
  }
  ~Mapping() {
    if (data_ != nullptr && data_ != MAP_FAILED) ::munmap(data_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  char* data() const { return static_cast<char*>(data_); }
  size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

json parse_header(const Mapping& mapping, const std::string& file, uint64_t& data_start) {
  uint64_t length = 0;
  std::memcpy(&length, mapping.data(), 8);
  // The reference implementation refuses headers above 100 MB.
  if (length > 100'000'000 || length > mapping.size() - 8) {
    throw Error(fmt::format(
        "{}: not a safetensors file, or cut short: its header claims {} bytes, the file has {}",
        file, length, mapping.size()));
  }
  data_start = 8 + length;
  json header = json::parse(mapping.data() + 8, mapping.data() + data_start, nullptr, false);
  if (!header.is_object())
    throw Error(fmt::format("{}: the safetensors header is not a JSON object", file));
  return header;
}

struct Entry {
  at::ScalarType type;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

Entry parse_entry(const json& item, const std::string& file, const std::string& name,
                  uint64_t data_size) {
  const auto fail = [&](const std::string& reason) {
    return Error(fmt::format("{}: tensor \"{}\": {}", file, name, reason));
  };
  if (!item.is_object() || !item.contains("dtype") || !item["dtype"].is_string() ||
      !item.contains("shape") || !item["shape"].is_array() || !item.contains("data_offsets") ||
      !item["data_offsets"].is_array() || item["data_offsets"].size() != 2) {
    throw fail("its header entry lacks dtype, shape or data_offsets");
  }
  Entry entry{};
  const auto type_name = item["dtype"].get<std::string>();
  const auto* type = std::find_if(std::begin(types), std::end(types),
                                  [&](const TypeName& t) { return type_name == t.name; });
  if (type == std::end(types)) throw fail(fmt::format("unknown dtype \"{}\"", type_name));
  entry.type = type->type;
  uint64_t bytes = c10::elementSize(entry.type);
  for (const auto& extent : item["shape"]) {
    if (!extent.is_number_unsigned()) throw fail("its shape is not a list of sizes");
    const auto n = extent.get<uint64_t>();
    if (n != 0 && bytes > (uint64_t(1) << 48) / n) throw fail("its shape is too large");
    bytes *= n;
    entry.shape.push_back(int64_t(n));
  }
  for (const auto& offset : item["data_offsets"]) {
    if (!offset.is_number_unsigned()) throw fail("its data_offsets are not two sizes");
  }
  entry.begin = item["data_offsets"][0].get<uint64_t>();
  entry.end = item["data_offsets"][1].get<uint64_t>();
  if (entry.begin > entry.end || entry.end > data_size || entry.end - entry.begin != bytes) {
    throw fail(fmt::format("its data lies at bytes {}..{} of {}, but dtype and shape need {} bytes",
                           entry.begin, entry.end, data_size, bytes));
  }
  return entry;
}

void refuse_overlaps(std::vector<std::pair<Entry, std::string>> entries, const std::string& file,
                     uint64_t data_size) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.begin, a.first.end) < std::pair(b.first.begin, b.first.end);
  });
  uint64_t covered = 0;
  for (const auto& [entry, name] : entries) {
    if (entry.begin != covered) {
      throw Error(fmt::format(
          "{}: tensor \"{}\": its data begins at byte {}, expected {} (an overlap or a hole)", file,
          name, entry.begin, covered));
    }
    covered = entry.end;
  }
  if (covered != data_size) {
    throw Error(fmt::format("{}: {} bytes of data belong to no tensor", file, data_size - covered));
  }
}

std::string type_name(at::ScalarType type, const std::string& tensor) {
  for (const auto& known : types) {
    if (known.type == type) return known.name;
  }
  throw Error(fmt::format("tensor \"{}\" has type {}, which safetensors cannot hold", tensor,
                          c10::toString(type)));
}

}  // namespace

TensorMap read_safetensors(const std::filesystem::path& path) {
  const std::string file = path.string();
  const auto mapping = std::make_shared<Mapping>(path);
  uint64_t start = 0;
  const json header = parse_header(*mapping, file, start);
  const uint64_t data_size = mapping->size() - start;
  std::vector<std::pair<Entry, std::string>> entries;
  for (const auto& [name, item] : header.items()) {
    if (name != "__metadata__")
      entries.emplace_back(parse_entry(item, file, name, data_size), name);
  }
  refuse_overlaps(entries, file, data_size);
  TensorMap tensors;
  for (const auto& [entry, name] : entries) {
    char* data = mapping->data() + start + entry.begin;
    const auto options = at::TensorOptions().dtype(entry.type);
    // A data section that is not aligned for its type cannot be viewed in place.
    const bool aligned = reinterpret_cast<uintptr_t>(data) % c10::elementSize(entry.type) == 0;
    if (entry.begin == entry.end)
      tensors[name] = at::empty(entry.shape, options);
    else if (aligned)
      tensors[name] = at::from_blob(
          data, entry.shape, [mapping](void*) {}, options);
    else {
      tensors[name] = at::empty(entry.shape, options);
      std::memcpy(tensors[name].data_ptr(), data, entry.end - entry.begin);
    }
  }
  return tensors;
}

std::map<std::string, std::string> read_safetensors_metadata(const std::filesystem::path& path) {
  const Mapping mapping(path);
  uint64_t start = 0;
  const json header = parse_header(mapping, path.string(), start);
  std::map<std::string, std::string> metadata;
  if (!header.contains("__metadata__") || !header["__metadata__"].is_object()) return metadata;
  for (const auto& [key, value] : header["__metadata__"].items()) {
    if (value.is_string()) metadata[key] = value.get<std::string>();
  }
  return metadata;
}

void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const std::map<std::string, std::string>& metadata) {
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t bytes = tensor.nbytes();
    header[name] = {{"dtype", type_name(tensor.scalar_type(), name)},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins at a multiple of 8
  AtomicFile file(path);
  std::ofstream stream(file.temporary(), std::ios::binary);
  const uint64_t length = text.size();
  stream.write(reinterpret_cast<const char*>(&length), 8);
  stream << text;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor plain = tensor.detach().to(at::kCPU).contiguous();
    stream.write(static_cast<const char*>(plain.const_data_ptr()), std::streamsize(plain.nbytes()));
  }
  stream.close();
  if (!stream) throw Error(fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)));
  file.commit();
}

}  // namespace x2ctpa
