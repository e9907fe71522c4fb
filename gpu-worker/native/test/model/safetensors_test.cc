#include "model/safetensors.h"

#include <cstring>

#include "model/checkpoint.h"
#include "test/check.h"
#include "test/support/files.h"

using namespace polygraft;

namespace {

// A header of one F32 tensor "w" of shape [2, 3], for 24 bytes of data, with a part replaced.
std::string header_with(const std::string& from = "", const std::string& to = "") {
  std::string header = R"({"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})";
  if (!from.empty()) header.replace(header.find(from), from.size(), to);
  return header;
}

void refused(pg_code code, const std::string& field, const std::string& part, const std::string& bytes) {
  const files::TempDir dir;
  files::write_file(dir / "m.safetensors", bytes);
  CHECK_THROWS(code, field, part, SafetensorsFile(dir / "m.safetensors"));
}

std::string with_length(uint64_t length, const std::string& rest) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> 8 * i);
  return bytes + rest;
}

}  // namespace

TEST(floats_of_all_three_dtypes) {
  const files::TempDir dir;
  const float f32[3] = {1.5f, -2.0f, 3.25f};
  const uint16_t f16[3] = {0x3e00, 0xc000, 0x4280}, bf16[3] = {0x3fc0, 0xc000, 0x4050};
  std::string bytes[3];
  bytes[0].assign(reinterpret_cast<const char*>(f32), 12);
  bytes[1].assign(reinterpret_cast<const char*>(f16), 6);
  bytes[2].assign(reinterpret_cast<const char*>(bf16), 6);
  files::write_tensors(
      dir / "m.safetensors",
      {{"a", DType::kF32, {3}, bytes[0]}, {"b", DType::kF16, {1, 3}, bytes[1]}, {"c", DType::kBf16, {3, 1}, bytes[2]}});
  const SafetensorsFile file(dir / "m.safetensors");
  for (const char* name : {"a", "b", "c"}) {
    float out[2] = {};
    file.read_floats(*file.find(name), 1, out);
    CHECK_EQ(out[0], -2.0f);
    CHECK_EQ(out[1], 3.25f);
  }
  CHECK(file.find("d") == nullptr);
  CHECK_THROWS(PG_INTERNAL, "m.safetensors", "past the end", float out[3]; file.read_floats(*file.find("a"), 1, out));
}

TEST(metadata_and_empty_tensors) {
  const auto header = parse_safetensors_header(
      R"({"__metadata__":{"format":"pt"},"e":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},)"
      R"("s":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}})",
      2, "x");
  CHECK_EQ(header.metadata.at("format"), std::string("pt"));
  CHECK_EQ(header.tensors.at("e").elements(), 0u);
  CHECK_EQ(header.tensors.at("s").elements(), 1u);
}

TEST(broken_files_are_refused_by_name) {
  const std::string data(24, '\0');
  const auto file = [&](const std::string& from, const std::string& to) {
    return files::safetensors_bytes(header_with(from, to), data);
  };
  refused(PG_DATA_LOSS, "m.safetensors", "truncated", "");
  refused(PG_DATA_LOSS, "m.safetensors", "truncated", "1234567");
  refused(PG_DATA_LOSS, "m.safetensors", "the limit is", with_length(~uint64_t{0}, "{}"));
  refused(PG_DATA_LOSS, "m.safetensors", "the limit is", with_length(kSafetensorsMaxHeader + 1, "{}"));
  refused(PG_DATA_LOSS, "m.safetensors", "truncated", with_length(3, "{}"));
  refused(PG_DATA_LOSS, "m.safetensors", "JSON", with_length(0, ""));
  refused(PG_DATA_LOSS, "m.safetensors", "JSON", with_length(1, "{"));
  refused(PG_DATA_LOSS, "m.safetensors", "not a JSON object", with_length(2, "[]"));
  refused(PG_DATA_LOSS, "w", "lacks dtype", file("\"dtype\":\"F32\",", ""));
  refused(PG_DATA_LOSS, "w", "lacks dtype", file("[0,24]", "[0,24,24]"));
  refused(PG_UNIMPLEMENTED, "w", "not known", file("F32", "Q4"));
  refused(PG_DATA_LOSS, "w", "shape and dtype 12", file("F32", "F16"));
  refused(PG_DATA_LOSS, "w", "takes 24 bytes", file("[2,3]", "[2,4]"));
  refused(PG_DATA_LOSS, "w", "overflows", file("[2,3]", "[4294967296,4294967296]"));
  refused(PG_DATA_LOSS, "w", "whole number", file("[2,3]", "[-2,-3]"));
  refused(PG_DATA_LOSS, "w", "whole number", file("[2,3]", "[2.0,3]"));
  refused(PG_DATA_LOSS, "w", "dimensions", file("[2,3]", "[1,1,1,1,1,1,1,2,3]"));
  refused(PG_DATA_LOSS, "w", "before it begins", file("[0,24]", "[24,0]"));
  refused(PG_DATA_LOSS, "w", "truncated", file("[0,24]", "[1,25]"));
  refused(PG_DATA_LOSS, "w", "truncated", files::safetensors_bytes(header_with(), std::string(23, '\0')));
  refused(PG_DATA_LOSS, "m.safetensors", "tensors end at", files::safetensors_bytes(header_with(), data + "x"));
  refused(PG_DATA_LOSS, "m.safetensors", "not a string", files::safetensors_bytes(R"({"__metadata__":{"a":1}})", ""));
  refused(PG_DATA_LOSS, "m.safetensors", "bytes",
          files::safetensors_bytes(
              "{\"" + std::string(600, 'n') + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", ""));
}

TEST(overlaps_and_gaps_are_refused) {
  const auto header = [](const char* second) {
    return std::string(
               R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":)") +
           second + "}}";
  };
  CHECK_EQ(parse_safetensors_header(header("[4,8]"), 8, "x").tensors.size(), 2u);
  CHECK_THROWS(PG_DATA_LOSS, "b", "overlap or leave a gap", parse_safetensors_header(header("[3,7]"), 8, "x"));
  CHECK_THROWS(PG_DATA_LOSS, "b", "overlap or leave a gap", parse_safetensors_header(header("[0,4]"), 8, "x"));
  CHECK_THROWS(PG_DATA_LOSS, "b", "overlap or leave a gap", parse_safetensors_header(header("[5,9]"), 9, "x"));
}

TEST(a_file_that_shrinks_while_open_is_an_error) {
  const files::TempDir dir;
  files::write_file(dir / "m.safetensors", files::safetensors_bytes(header_with(), std::string(24, '\0')));
  const SafetensorsFile file(dir / "m.safetensors");
  files::write_file(dir / "m.safetensors", "short");
  float out[6];
  CHECK_THROWS(PG_DATA_LOSS, "m.safetensors", "truncated", file.read_floats(*file.find("w"), 0, out));
}

TEST(folders_and_missing_files) {
  const files::TempDir dir;
  CHECK_THROWS(PG_NOT_FOUND, "none.safetensors", "cannot open", SafetensorsFile(dir / "none.safetensors"));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "", "not a regular file", SafetensorsFile(dir.path() + "/"));
}

TEST(shard_names_stay_in_their_folder) {
  const auto index = [](const std::string& file) { return R"({"weight_map":{"w":")" + file + "\"}}"; };
  CHECK_EQ(parse_shard_index(index("a.safetensors")).files.size(), 1u);
  for (const char* name : {"../a.safetensors", "/etc/a.safetensors", "x/a.safetensors", "..\\\\a.safetensors", "a.bin",
                           "", ".safetensors", "a\\u0000.safetensors"})
    CHECK_THROWS(PG_FAILED_PRECONDITION, "weight_map", "plain name", parse_shard_index(index(name)));
  CHECK_THROWS(PG_DATA_LOSS, "weight_map", "missing", parse_shard_index("{}"));
  CHECK_THROWS(PG_DATA_LOSS, "weight_map", "empty", parse_shard_index(R"({"weight_map":{}})"));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "weight_map", "plain name", parse_shard_index(R"({"weight_map":{"w":1}})"));
}

TEST(shards_and_index_must_agree) {
  const files::TempDir dir;
  const auto write_index = [&](const std::string& map) {
    files::write_file(dir / "model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  };
  files::write_tensors(dir / "a.safetensors", {{"x", DType::kF32, {1}, "0000"}});
  files::write_tensors(dir / "b.safetensors", {{"y", DType::kF32, {1}, "0000"}});
  write_index(R"("x":"a.safetensors","y":"b.safetensors")");
  CHECK_EQ(Checkpoint(dir.path()).tensors().size(), 2u);
  write_index(R"("x":"b.safetensors","y":"b.safetensors")");
  CHECK_THROWS(PG_DATA_LOSS, "x", "which lacks it", Checkpoint(dir.path()));
  write_index(R"("x":"a.safetensors","y":"c.safetensors")");
  CHECK_THROWS(PG_NOT_FOUND, "c.safetensors", "cannot open", Checkpoint(dir.path()));
  files::write_tensors(dir / "b.safetensors", {{"x", DType::kF32, {1}, "0000"}, {"y", DType::kF32, {1}, "0000"}});
  write_index(R"("x":"a.safetensors","y":"b.safetensors")");
  CHECK_THROWS(PG_DATA_LOSS, "x", "more than one shard", Checkpoint(dir.path()));
}
