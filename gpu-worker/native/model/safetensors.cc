#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "model/error.h"
#include "model/half.h"
#include "model/json.h"

namespace polygraft {
namespace {

struct DTypeRow {
  const char* name;
  DType dtype;
  uint32_t bytes;
};
constexpr DTypeRow kDTypes[] = {
    {"F64", DType::kF64, 8},   {"F32", DType::kF32, 4},    {"F16", DType::kF16, 2},    {"BF16", DType::kBf16, 2},
    {"I64", DType::kI64, 8},   {"I32", DType::kI32, 4},    {"I16", DType::kI16, 2},    {"I8", DType::kI8, 1},
    {"U64", DType::kU64, 8},   {"U32", DType::kU32, 4},    {"U16", DType::kU16, 2},    {"U8", DType::kU8, 1},
    {"BOOL", DType::kBool, 1}, {"F8_E4M3", DType::kF8, 1}, {"F8_E5M2", DType::kF8, 1}, {"F8_E8M0", DType::kF8, 1},
};
constexpr size_t kMaxDimensions = 8;
constexpr size_t kMaxNameBytes = 512;

[[noreturn]] void corrupt(const std::string& field, const std::string& source, const std::string& what) {
  throw Error(PG_DATA_LOSS, field, source + ": " + what);
}

// A non-negative JSON integer.
uint64_t read_count(const Json& value, const std::string& name, const std::string& source, const char* what) {
  if (!value.is_integer() || value.integer() < 0)
    corrupt(name, source, "tensor " + name + " has a " + what + " that is not a whole number");
  return static_cast<uint64_t>(value.integer());
}

TensorInfo parse_tensor(const std::string& name, const Json& value, uint64_t data_bytes, const std::string& source) {
  const Json* dtype = value.find("dtype");
  const Json* shape = value.find("shape");
  const Json* offsets = value.find("data_offsets");
  if (dtype == nullptr || !dtype->is_string() || shape == nullptr || !shape->is_array() || offsets == nullptr ||
      !offsets->is_array() || offsets->array().size() != 2)
    corrupt(name, source, "tensor " + name + " lacks dtype, shape or data_offsets");

  TensorInfo tensor;
  const auto* row = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                 [&](const DTypeRow& r) { return dtype->string() == r.name; });
  if (row == std::end(kDTypes))
    throw Error(PG_UNIMPLEMENTED, name,
                source + ": tensor " + name + " has dtype " + quote_json(dtype->string().substr(0, 32)) +
                    ", which is not known; convert it to F32, F16 or BF16");
  tensor.dtype = row->dtype;

  if (shape->array().size() > kMaxDimensions)
    corrupt(name, source, "tensor " + name + " has more than " + std::to_string(kMaxDimensions) + " dimensions");
  uint64_t bytes = row->bytes;
  for (const Json& dimension : shape->array()) {
    const uint64_t size = read_count(dimension, name, source, "dimension");
    tensor.shape.push_back(size);
    if (__builtin_mul_overflow(bytes, size, &bytes))
      corrupt(name, source, "the shape of tensor " + name + " overflows 64 bits");
  }
  tensor.begin = read_count(offsets->array()[0], name, source, "data offset");
  tensor.end = read_count(offsets->array()[1], name, source, "data offset");
  if (tensor.begin > tensor.end) corrupt(name, source, "tensor " + name + " ends before it begins");
  if (tensor.end > data_bytes)
    corrupt(name, source,
            "truncated: tensor " + name + " ends at data byte " + std::to_string(tensor.end) + ", the file has " +
                std::to_string(data_bytes));
  if (tensor.end - tensor.begin != bytes)
    corrupt(name, source,
            "tensor " + name + " takes " + std::to_string(tensor.end - tensor.begin) + " bytes, its shape and dtype " +
                std::to_string(bytes));
  return tensor;
}

// Tensors must tile the data: bytes that belong to none, or to two, could hide a second file.
void check_coverage(const SafetensorsHeader& header, uint64_t data_bytes, const std::string& source) {
  std::vector<std::pair<const TensorInfo*, const std::string*>> order;
  for (const auto& [name, tensor] : header.tensors) order.emplace_back(&tensor, &name);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first->begin, a.first->end) < std::pair(b.first->begin, b.first->end);
  });
  uint64_t at = 0;
  for (const auto& [tensor, name] : order) {
    if (tensor->begin != at)
      corrupt(*name, source,
              "tensor " + *name + " begins at data byte " + std::to_string(tensor->begin) + " where " +
                  std::to_string(at) + " is expected: tensors overlap or leave a gap");
    at = tensor->end;
  }
  if (at != data_bytes)
    corrupt(source, source,
            "the tensors end at data byte " + std::to_string(at) + ", the file has " + std::to_string(data_bytes));
}

}  // namespace

const char* dtype_name(DType dtype) {
  for (const DTypeRow& row : kDTypes)
    if (row.dtype == dtype) return row.name;
  return "?";
}

uint32_t dtype_bytes(DType dtype) {
  for (const DTypeRow& row : kDTypes)
    if (row.dtype == dtype) return row.bytes;
  return 0;
}

bool is_float_dtype(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16; }

uint64_t TensorInfo::elements() const { return (end - begin) / dtype_bytes(dtype); }

std::string shape_text(std::span<const uint64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes, const std::string& source) {
  const Json root = parse_json(json, source);
  if (!root.is_object()) corrupt(source, source, "the header is not a JSON object");
  SafetensorsHeader header;
  for (const auto& [name, value] : root.members()) {
    if (name == "__metadata__") {
      for (const auto& [key, text] : value.members()) {
        if (!text.is_string()) corrupt(source, source, "metadata " + quote_json(key) + " is not a string");
        header.metadata.emplace(key, text.string());
      }
      continue;
    }
    if (name.size() > kMaxNameBytes)
      corrupt(source, source, "a tensor's name has more than " + std::to_string(kMaxNameBytes) + " bytes");
    header.tensors.emplace(name, parse_tensor(name, value, data_bytes, source));
  }
  check_coverage(header, data_bytes, source);
  return header;
}

uint64_t safetensors_header_bytes(std::span<const uint8_t, 8> prefix, uint64_t file_bytes, const std::string& source) {
  uint64_t bytes = 0;
  for (int i = 7; i >= 0; --i) bytes = bytes << 8 | prefix[static_cast<size_t>(i)];
  if (bytes > kSafetensorsMaxHeader)
    corrupt(source, source,
            "the header claims " + std::to_string(bytes) + " bytes; the limit is " +
                std::to_string(kSafetensorsMaxHeader) + ". Is this a safetensors file?");
  if (bytes > file_bytes - 8)
    corrupt(
        source, source,
        "truncated: the header claims " + std::to_string(bytes) + " bytes, the file has " + std::to_string(file_bytes));
  return bytes;
}

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  const std::string& source = file_.name();
  if (file_.size() < 8) corrupt(source, source, "truncated: shorter than a safetensors length field");
  std::array<uint8_t, 8> prefix{};
  file_.read(0, prefix);
  const uint64_t header_bytes = safetensors_header_bytes(prefix, file_.size(), source);
  std::string json(header_bytes, '\0');
  file_.read(8, {reinterpret_cast<uint8_t*>(json.data()), json.size()});
  data_start_ = 8 + header_bytes;
  header_ = parse_safetensors_header(json, file_.size() - data_start_, source);
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto at = header_.tensors.find(name);
  return at == header_.tensors.end() ? nullptr : &at->second;
}

void SafetensorsFile::read_bytes(const TensorInfo& tensor, uint64_t first, std::span<uint8_t> out) const {
  if (first > tensor.end - tensor.begin || out.size() > tensor.end - tensor.begin - first)
    throw Error(PG_INTERNAL, file_.name(), "read past the end of a tensor in " + file_.name());
  file_.read(data_start_ + tensor.begin + first, out);
}

void SafetensorsFile::read_floats(const TensorInfo& tensor, uint64_t first, std::span<float> out) const {
  if (!is_float_dtype(tensor.dtype))
    throw Error(PG_INTERNAL, file_.name(),
                std::string("a tensor of dtype ") + dtype_name(tensor.dtype) + " read as float");
  const size_t width = dtype_bytes(tensor.dtype);
  if (tensor.dtype == DType::kF32) {  // safetensors is little-endian, as is every machine that this engine runs on
    read_bytes(tensor, first * width, {reinterpret_cast<uint8_t*>(out.data()), out.size() * width});
    return;
  }
  constexpr size_t kChunk = 4096;
  std::array<uint16_t, kChunk> halves;
  for (size_t done = 0; done < out.size();) {
    const size_t count = std::min(kChunk, out.size() - done);
    read_bytes(tensor, (first + done) * width, {reinterpret_cast<uint8_t*>(halves.data()), count * width});
    float* to = out.data() + done;
    if (tensor.dtype == DType::kBf16)
      for (size_t i = 0; i < count; ++i) to[i] = bf16_to_float(halves[i]);
    else
      for (size_t i = 0; i < count; ++i) to[i] = fp16_to_float(halves[i]);
    done += count;
  }
}

}  // namespace polygraft
