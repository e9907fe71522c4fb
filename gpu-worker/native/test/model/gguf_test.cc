#include "model/gguf.h"

#include "test/check.h"
#include "test/support/files.h"
#include "test/support/gguf_bytes.h"

using namespace polygraft;
using namespace polygraft::files;

namespace {

const std::string kF32 = std::string(4 * 32, '\0');

std::string small() {
  return gguf_file({{"a", gguf_u32(7)},
                    {"b", gguf_string("text")},
                    {"c", gguf_f32(0.5f)},
                    {"d", gguf_strings({"x", "", "yz"})},
                    {"e", gguf_i32s({-1, 2})}},
                   {{"first", {2, 16}, 0, kF32}, {"second", {32}, 8, std::string(34, '\1')}});
}

// `bytes` with a number of `width` bytes at `at` replaced.
template <class T>
std::string with(std::string bytes, size_t at, T value) {
  return bytes.replace(at, sizeof(T), le(value));
}

// Where `name`'s table entry has its dimensions.
size_t after(const std::string& bytes, const std::string& name) {
  return bytes.find(gguf_text(name)) + gguf_text(name).size();
}

}  // namespace

TEST(metadata_and_tensors_are_read) {
  const std::string bytes = small();
  const GgufHeader header = parse_gguf(bytes);
  CHECK_EQ(header.integer("a", 0, 10), 7u);
  CHECK_EQ(header.integer("missing", 0, 10, 3), 3u);
  CHECK_EQ(header.text("b").value(), std::string("text"));
  CHECK_EQ(header.number("c", 0, 1), 0.5);
  const auto read = [&](uint64_t offset, std::span<uint8_t> out) {
    std::memcpy(out.data(), bytes.data() + offset, out.size());
  };
  std::vector<std::string> texts;
  read_gguf_strings(header, "d", bytes.size(), read, [&](uint64_t, const std::string& text) { texts.push_back(text); });
  CHECK(texts == (std::vector<std::string>{"x", "", "yz"}));
  CHECK(read_gguf_integers(header, "e", read) == (std::vector<int32_t>{-1, 2}));
  CHECK_EQ(header.tensors().size(), 2u);
  const GgufTensor& second = header.tensors().at("second");
  CHECK_EQ(second.bytes, 34u);
  CHECK_EQ(bytes[second.begin], '\1');
  CHECK(header.tensors().at("first").shape == (std::vector<uint64_t>{2, 16}));
}

TEST(wrong_types_name_the_key) {
  const GgufHeader header = parse_gguf(small());
  CHECK_THROWS(PG_FAILED_PRECONDITION, "b", "not a whole number", header.integer("b", 0, 1));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "a", "outside of 0 to 6", header.integer("a", 0, 6));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "a", "not a string", header.text("a"));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "d", "not a number", header.number("d", 0, 1));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "missing", "m.gguf: metadata missing is missing", header.integer("missing", 0, 1));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "d", "not an array of 32-bit integers",
               read_gguf_integers(header, "d", [](uint64_t, std::span<uint8_t>) {}));
}

TEST(every_truncation_is_an_error) {
  const std::string bytes = small();
  const size_t needed = bytes.size() - 30;  // the last tensor has 34 of 64 bytes
  for (size_t size = 0; size < needed; ++size) {
    bool refused = false;
    try {
      parse_gguf(bytes.substr(0, size));
    } catch (const Error& e) {
      refused = e.code() == PG_DATA_LOSS && !e.field().empty();
    }
    if (!refused) check::fail(__FILE__, __LINE__, "not refused at " + std::to_string(size) + " bytes");
  }
  parse_gguf(bytes.substr(0, needed));  // padding after the last tensor may lack
}

TEST(other_files_are_told) {
  CHECK_THROWS(PG_DATA_LOSS, "magic", "is this a GGUF file", parse_gguf("PK\3\4 and so on"));
  CHECK_THROWS(PG_UNIMPLEMENTED, "version", "version 1;", parse_gguf(with<uint32_t>(small(), 4, 1)));
  CHECK_THROWS(PG_UNIMPLEMENTED, "version", "big-endian", parse_gguf(with<uint32_t>(small(), 4, 3u << 24)));
}

TEST(huge_counts_are_refused_before_anything_is_allocated) {
  const std::string bytes = small();
  CHECK_THROWS(PG_DATA_LOSS, "tensor_count", "the limit is", parse_gguf(with<uint64_t>(bytes, 8, ~0ull)));
  CHECK_THROWS(PG_DATA_LOSS, "metadata_kv_count", "the limit is", parse_gguf(with<uint64_t>(bytes, 16, 1ull << 40)));
  CHECK_THROWS(PG_DATA_LOSS, "metadata", "a metadata key claims", parse_gguf(with<uint64_t>(bytes, 24, 1ull << 60)));
  const size_t text = after(bytes, "b") + 4;
  CHECK_THROWS(PG_DATA_LOSS, "b", "metadata b claims", parse_gguf(with<uint64_t>(bytes, text, 1ull << 60)));
  CHECK_THROWS(PG_DATA_LOSS, "b", "truncated", parse_gguf(with<uint64_t>(bytes, text, 1ull << 20)));
  const size_t array = after(bytes, "e") + 8;
  CHECK_THROWS(PG_DATA_LOSS, "e", "more than the file can hold", parse_gguf(with<uint64_t>(bytes, array, 1ull << 62)));
}

TEST(arrays_of_arrays_and_unknown_types_are_refused) {
  const std::string bytes = small();
  CHECK_THROWS(PG_UNIMPLEMENTED, "e", "array of arrays", parse_gguf(with<uint32_t>(bytes, after(bytes, "e") + 4, 9)));
  CHECK_THROWS(PG_DATA_LOSS, "a", "type 13", parse_gguf(with<uint32_t>(bytes, after(bytes, "a"), 13)));
}

TEST(impossible_tensors_are_refused) {
  const std::string bytes = small();
  const size_t entry = after(bytes, "first");  // dimensions, 16, 2, type, offset
  const size_t other = after(bytes, "second");
  CHECK_THROWS(PG_DATA_LOSS, "first", "5 dimensions", parse_gguf(with<uint32_t>(bytes, entry, 5)));
  CHECK_THROWS(PG_DATA_LOSS, "first", "dimension of 0", parse_gguf(with<uint64_t>(bytes, entry + 4, 0)));
  CHECK_THROWS(PG_DATA_LOSS, "first", "overflows", parse_gguf(with<uint64_t>(bytes, entry + 4, ~0ull)));
  CHECK_THROWS(PG_DATA_LOSS, "first", "overflows", parse_gguf(with<uint64_t>(bytes, entry + 4, 1ull << 62)));
  CHECK_THROWS(PG_DATA_LOSS, "first", "truncated", parse_gguf(with<uint64_t>(bytes, entry + 4, 1ull << 40)));
  CHECK_THROWS(PG_UNIMPLEMENTED, "first", "ggml type 10", parse_gguf(with<uint32_t>(bytes, entry + 20, 10)));
  CHECK_THROWS(PG_DATA_LOSS, "first", "Q8_0 has blocks of 32", parse_gguf(with<uint32_t>(bytes, entry + 20, 8)));
  CHECK_THROWS(PG_DATA_LOSS, "second", "multiple of the alignment 32",
               parse_gguf(with<uint64_t>(bytes, other + 16, 100)));
  CHECK_THROWS(PG_DATA_LOSS, "second", "truncated", parse_gguf(with<uint64_t>(bytes, other + 16, ~0ull - 31)));
  CHECK_THROWS(PG_DATA_LOSS, "second", "overlap", parse_gguf(with<uint64_t>(bytes, other + 16, 96)));
}

TEST(names_are_unique_and_alignment_is_a_power_of_two) {
  CHECK_THROWS(PG_DATA_LOSS, "a", "twice", parse_gguf(gguf_file({{"a", gguf_u32(1)}, {"a", gguf_u32(1)}}, {})));
  CHECK_THROWS(PG_DATA_LOSS, "t", "twice", parse_gguf(gguf_file({}, {{"t", {32}, 0, kF32}, {"t", {32}, 0, kF32}})));
  CHECK_THROWS(PG_DATA_LOSS, "general.alignment", "power of two",
               parse_gguf(gguf_file({{"general.alignment", gguf_u32(48)}}, {})));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "general.alignment", "outside of 8",
               parse_gguf(gguf_file({{"general.alignment", gguf_u32(0)}}, {})));
  CHECK_THROWS(PG_DATA_LOSS, "metadata", "UTF-8", parse_gguf(gguf_file({{"\xff", gguf_u32(1)}}, {})));
}
