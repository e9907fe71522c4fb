#include "model/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "model/error.h"
#include "model/utf8.h"

namespace polygraft {
namespace {

constexpr uint64_t kMaxTensors = 1u << 16;
constexpr uint64_t kMaxValues = 1u << 16;
constexpr uint64_t kMaxNameBytes = 512;
constexpr uint64_t kMaxTextBytes = 16u << 20;   // a chat template, generously
constexpr uint64_t kMaxArray = 1u << 24;        // the merges of the largest vocabularies are a tenth of it
constexpr uint64_t kMaxHeadBytes = 512u << 20;  // metadata and tensor table
constexpr uint64_t kMaxDimensions = 4;
constexpr uint64_t kDefaultAlignment = 32;

[[noreturn]] void corrupt(const std::string& field, const std::string& source, const std::string& what) {
  throw Error(PG_DATA_LOSS, field, source + ": " + what);
}

uint32_t kind_bytes(GgufKind kind) {
  switch (kind) {
    case GgufKind::kU8: case GgufKind::kI8: case GgufKind::kBool: return 1;
    case GgufKind::kU16: case GgufKind::kI16: return 2;
    case GgufKind::kU32: case GgufKind::kI32: case GgufKind::kF32: return 4;
    case GgufKind::kU64: case GgufKind::kI64: case GgufKind::kF64: return 8;
    default: return 0;
  }
}

// Reads forward through a file, in large pieces. `field` names what is being read.
class Cursor {
 public:
  Cursor(uint64_t size, uint64_t at, const ReadAt& read, const std::string& source)
      : size_(size), at_(at), read_(read), source_(source) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return size_ - at_; }

  void bytes(void* out, uint64_t count, const std::string& field) {
    need(count, field);
    for (uint64_t done = 0; done < count;) {
      if (at_ < begin_ || at_ >= begin_ + held_) fill();
      const uint64_t piece = std::min(count - done, begin_ + held_ - at_);
      std::memcpy(static_cast<uint8_t*>(out) + done, buffer_.data() + (at_ - begin_), piece);
      done += piece;
      at_ += piece;
    }
  }

  uint64_t integer(uint32_t width, const std::string& field) {
    uint64_t value = 0;
    bytes(&value, width, field);
    return value;
  }

  std::string text(uint64_t limit, const std::string& field, const char* what) {
    const uint64_t length = integer(8, field);
    if (length > limit)
      corrupt(field, source_,
              std::string(what) + " claims " + std::to_string(length) + " bytes; the limit is " + std::to_string(limit));
    need(length, field);
    std::string value(length, '\0');
    bytes(value.data(), length, field);
    return value;
  }

  void skip(uint64_t count, const std::string& field) {
    need(count, field);
    at_ += count;
  }

 private:
  void need(uint64_t count, const std::string& field) const {
    if (count > left())
      corrupt(field, source_,
              "truncated: " + field + " needs " + std::to_string(count) + " bytes at offset " + std::to_string(at_) +
                  ", the file has " + std::to_string(size_));
    if (at_ + count > kMaxHeadBytes)
      corrupt(field, source_, "metadata and tensor table take more than " + std::to_string(kMaxHeadBytes) + " bytes");
  }

  void fill() {
    begin_ = at_;
    held_ = std::min<uint64_t>(buffer_.size(), size_ - at_);
    read_(begin_, {buffer_.data(), held_});
  }

  uint64_t size_, at_;
  const ReadAt& read_;
  const std::string& source_;
  uint64_t begin_ = 0, held_ = 0;
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(64u << 10);
};

GgufKind read_kind(Cursor& in, const std::string& key, const std::string& source) {
  const uint64_t number = in.integer(4, key);
  if (number > static_cast<uint64_t>(GgufKind::kF64))
    corrupt(key, source, "metadata " + key + " has type " + std::to_string(number) + ", which GGUF does not define");
  return static_cast<GgufKind>(number);
}

uint64_t read_scalar(Cursor& in, GgufKind kind, const std::string& key) {
  const uint64_t raw = in.integer(kind_bytes(kind), key);
  switch (kind) {
    case GgufKind::kI8: return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(raw)));
    case GgufKind::kI16: return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int16_t>(raw)));
    case GgufKind::kI32: return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(raw)));
    case GgufKind::kF32:
      return std::bit_cast<uint64_t>(static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(raw))));
    default: return raw;
  }
}

void skip_text(Cursor& in, const std::string& key, const std::string& source) {
  const uint64_t length = in.integer(8, key);
  if (length > kMaxTextBytes)
    corrupt(key, source, "a string of metadata " + key + " claims " + std::to_string(length) + " bytes");
  in.skip(length, key);
}

GgufValue read_value(Cursor& in, const std::string& key, const std::string& source) {
  GgufValue value;
  value.kind = read_kind(in, key, source);
  if (value.kind == GgufKind::kString) {
    value.text = in.text(kMaxTextBytes, key, ("metadata " + key).c_str());
    if (!is_utf8(value.text)) corrupt(key, source, "metadata " + key + " is not UTF-8");
  } else if (value.kind != GgufKind::kArray) {
    value.bits = read_scalar(in, value.kind, key);
  } else {
    value.element = read_kind(in, key, source);
    if (value.element == GgufKind::kArray)
      throw Error(PG_UNIMPLEMENTED, key, source + ": metadata " + key + " is an array of arrays, which no model needs");
    value.count = in.integer(8, key);
    value.offset = in.at();
    const uint64_t least = value.element == GgufKind::kString ? 8 : kind_bytes(value.element);
    if (value.count > kMaxArray || value.count > in.left() / least)
      corrupt(key, source,
              "metadata " + key + " claims " + std::to_string(value.count) + " elements, more than the file can hold");
    if (value.element == GgufKind::kString)
      for (uint64_t i = 0; i < value.count; ++i) skip_text(in, key, source);
    else
      in.skip(value.count * least, key);
  }
  return value;
}

// Offsets are relative to the data, whose start is not known yet.
GgufTensor read_tensor(Cursor& in, const std::string& name, const std::string& source) {
  GgufTensor tensor;
  const uint64_t dimensions = in.integer(4, name);
  if (dimensions == 0 || dimensions > kMaxDimensions)
    corrupt(name, source, "tensor " + name + " has " + std::to_string(dimensions) + " dimensions; 1 to 4 are defined");
  uint64_t weights = 1;
  for (uint64_t i = 0; i < dimensions; ++i) {
    const uint64_t size = in.integer(8, name);
    if (size == 0) corrupt(name, source, "tensor " + name + " has a dimension of 0");
    if (__builtin_mul_overflow(weights, size, &weights))
      corrupt(name, source, "the shape of tensor " + name + " overflows 64 bits");
    tensor.shape.insert(tensor.shape.begin(), size);
  }
  const auto number = static_cast<uint32_t>(in.integer(4, name));
  const GgmlTypeInfo* type = find_ggml_type(number);
  if (type == nullptr)
    throw Error(PG_UNIMPLEMENTED, name,
                source + ": tensor " + name + " has ggml type " + std::to_string(number) +
                    "; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K are served");
  tensor.type = type->type;
  if (tensor.shape.back() % type->block_weights != 0)
    corrupt(name, source,
            "tensor " + name + " has rows of " + std::to_string(tensor.shape.back()) + " weights; " + type->name +
                " has blocks of " + std::to_string(type->block_weights));
  if (__builtin_mul_overflow(weights / type->block_weights, uint64_t{type->block_bytes}, &tensor.bytes))
    corrupt(name, source, "the size of tensor " + name + " overflows 64 bits");
  tensor.begin = in.integer(8, name);
  return tensor;
}

// Places the tensors in the file. Bytes that belong to two of them could pass for something else.
void place(std::map<std::string, GgufTensor, std::less<>>& tensors, uint64_t data, uint64_t alignment,
           uint64_t file_bytes, const std::string& source) {
  std::vector<std::pair<const std::string*, GgufTensor*>> order;
  for (auto& [name, tensor] : tensors) {
    if (tensor.begin % alignment != 0)
      corrupt(name, source,
              "tensor " + name + " begins at data byte " + std::to_string(tensor.begin) +
                  ", which is no multiple of the alignment " + std::to_string(alignment));
    uint64_t end = 0;
    if (__builtin_add_overflow(tensor.begin, data, &tensor.begin) ||
        __builtin_add_overflow(tensor.begin, tensor.bytes, &end) || end > file_bytes)
      corrupt(name, source,
              "truncated: tensor " + name + " of " + std::to_string(tensor.bytes) + " bytes ends beyond the file's " +
                  std::to_string(file_bytes));
    order.emplace_back(&name, &tensor);
  }
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.second->begin < b.second->begin; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i].second->begin < order[i - 1].second->begin + order[i - 1].second->bytes)
      corrupt(*order[i].first, source, "tensors " + *order[i - 1].first + " and " + *order[i].first + " overlap");
}

void check_start(Cursor& in, const std::string& source) {
  std::array<char, 4> magic{};
  in.bytes(magic.data(), magic.size(), "magic");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) corrupt("magic", source, "does not begin with GGUF: is this a GGUF file?");
  const uint64_t version = in.integer(4, "version");
  if (version == 2 || version == 3) return;
  const bool swapped = version != 0 && version % 65536 == 0;
  throw Error(PG_UNIMPLEMENTED, "version",
              source + (swapped ? std::string(" is big-endian, which is not served")
                                : " has GGUF version " + std::to_string(version) + "; 2 and 3 are served"));
}

uint64_t read_count(Cursor& in, const char* field, uint64_t limit, const std::string& source) {
  const uint64_t count = in.integer(8, field);
  if (count > limit)
    corrupt(field, source,
            std::string(field) + " claims " + std::to_string(count) + " entries; the limit is " + std::to_string(limit));
  return count;
}

}  // namespace

bool GgufValue::is_integer() const {
  return kind != GgufKind::kF32 && kind != GgufKind::kF64 && kind != GgufKind::kBool && kind != GgufKind::kString &&
         kind != GgufKind::kArray;
}

double GgufValue::number() const {
  if (kind == GgufKind::kF32 || kind == GgufKind::kF64) return std::bit_cast<double>(bits);
  if (kind == GgufKind::kU64 || kind == GgufKind::kU32) return static_cast<double>(bits);
  return static_cast<double>(static_cast<int64_t>(bits));
}

GgufHeader::GgufHeader(uint64_t file_bytes, const ReadAt& read, std::string source) : source_(std::move(source)) {
  Cursor in(file_bytes, 0, read, source_);
  check_start(in, source_);
  const uint64_t tensor_count = read_count(in, "tensor_count", kMaxTensors, source_);
  const uint64_t value_count = read_count(in, "metadata_kv_count", kMaxValues, source_);
  for (uint64_t i = 0; i < value_count; ++i) {
    std::string key = in.text(kMaxNameBytes, "metadata", "a metadata key");
    if (!is_utf8(key)) corrupt("metadata", source_, "a metadata key is not UTF-8");
    GgufValue value = read_value(in, key, source_);
    if (!values_.emplace(key, std::move(value)).second) corrupt(key, source_, "metadata " + key + " is there twice");
  }
  for (uint64_t i = 0; i < tensor_count; ++i) {
    std::string name = in.text(kMaxNameBytes, "tensors", "a tensor's name");
    if (!is_utf8(name)) corrupt("tensors", source_, "a tensor's name is not UTF-8");
    GgufTensor tensor = read_tensor(in, name, source_);
    if (!tensors_.emplace(name, std::move(tensor)).second) corrupt(name, source_, "tensor " + name + " is there twice");
  }
  const uint64_t alignment = integer("general.alignment", 8, 65536, kDefaultAlignment);
  if (!std::has_single_bit(alignment)) refuse(PG_DATA_LOSS, "general.alignment", "is no power of two");
  place(tensors_, (in.at() + alignment - 1) / alignment * alignment, alignment, file_bytes, source_);
}

const GgufValue* GgufHeader::find(std::string_view key) const {
  const auto at = values_.find(key);
  return at == values_.end() ? nullptr : &at->second;
}

void GgufHeader::refuse(pg_code code, const std::string& key, const std::string& what) const {
  throw Error(code, key, source_ + ": metadata " + key + " " + what);
}

uint64_t GgufHeader::integer(const std::string& key, uint64_t low, uint64_t high,
                             std::optional<uint64_t> fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    if (fallback) return *fallback;
    refuse(PG_FAILED_PRECONDITION, key, "is missing");
  }
  if (!value->is_integer()) refuse(PG_FAILED_PRECONDITION, key, "is not a whole number");
  if (value->bits < low || value->bits > high)
    refuse(PG_FAILED_PRECONDITION, key,
           "is outside of " + std::to_string(low) + " to " + std::to_string(high));
  return value->bits;
}

double GgufHeader::number(const std::string& key, double low, double high, std::optional<double> fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    if (fallback) return *fallback;
    refuse(PG_FAILED_PRECONDITION, key, "is missing");
  }
  if (value->kind == GgufKind::kString || value->kind == GgufKind::kArray || value->kind == GgufKind::kBool)
    refuse(PG_FAILED_PRECONDITION, key, "is not a number");
  const double number = value->number();
  if (!(number >= low && number <= high)) {
    refuse(PG_FAILED_PRECONDITION, key, "is " + std::to_string(number) + ", which is out of range");
  }
  return number;
}

std::optional<std::string> GgufHeader::text(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->kind != GgufKind::kString) refuse(PG_FAILED_PRECONDITION, key, "is not a string");
  return value->text;
}

void read_gguf_strings(const GgufHeader& header, const std::string& key, uint64_t file_bytes, const ReadAt& read,
                       const std::function<void(uint64_t, const std::string&)>& each) {
  const GgufValue* value = header.find(key);
  if (value == nullptr) header.refuse(PG_FAILED_PRECONDITION, key, "is missing");
  if (value->kind != GgufKind::kArray || value->element != GgufKind::kString)
    header.refuse(PG_FAILED_PRECONDITION, key, "is not an array of strings");
  Cursor in(file_bytes, value->offset, read, header.source());
  for (uint64_t i = 0; i < value->count; ++i) each(i, in.text(kMaxTextBytes, key, "a string"));
}

std::vector<int32_t> read_gguf_integers(const GgufHeader& header, const std::string& key, const ReadAt& read) {
  const GgufValue* value = header.find(key);
  if (value == nullptr) header.refuse(PG_FAILED_PRECONDITION, key, "is missing");
  if (value->kind != GgufKind::kArray || (value->element != GgufKind::kI32 && value->element != GgufKind::kU32))
    header.refuse(PG_FAILED_PRECONDITION, key, "is not an array of 32-bit integers");
  std::vector<int32_t> numbers(value->count);
  if (!numbers.empty()) read(value->offset, {reinterpret_cast<uint8_t*>(numbers.data()), numbers.size() * 4});
  return numbers;
}

}  // namespace polygraft
