// Block decoders against the Python package gguf, bit for bit: see test/fixtures/ggml_blocks.py.
#include "model/ggml_type.h"

#include <bit>
#include <cmath>

#include "model/half.h"
#include "test/check.h"
#include "test/support/files.h"
#include "test/support/gguf_bytes.h"

using namespace polygraft;

namespace {

const std::string& fixture() {
  static const std::string bytes = files::read_file(std::string(PG_TEST_DIR) + "/fixtures/ggml-blocks.gguf");
  return bytes;
}

std::vector<float> decoded(const GgufTensor& tensor) {
  const GgmlTypeInfo& info = ggml_type(tensor.type);
  const size_t blocks = tensor.bytes / info.block_bytes;
  std::vector<float> out(blocks * info.block_weights);
  decode_ggml(tensor.type, reinterpret_cast<const uint8_t*>(fixture().data()) + tensor.begin, blocks, out.data());
  return out;
}

}  // namespace

TEST(decoders_agree_with_the_python_package_bit_for_bit) {
  const GgufHeader header = files::parse_gguf(fixture());
  int types = 0;
  for (const auto& [name, tensor] : header.tensors()) {
    if (name.ends_with(".expected")) continue;
    CHECK_EQ(std::string(ggml_type(tensor.type).name), name);
    const std::vector<float> actual = decoded(tensor);
    const std::vector<float> expected = decoded(header.tensors().at(name + ".expected"));
    REQUIRE(actual.size() == expected.size());
    size_t wrong = 0;
    for (size_t i = 0; i < actual.size(); ++i)
      wrong += std::bit_cast<uint32_t>(actual[i]) != std::bit_cast<uint32_t>(expected[i]) && actual[i] != expected[i];
    if (wrong > 0) check::fail(__FILE__, __LINE__, name + ": " + std::to_string(wrong) + " weights differ");
    ++types;
  }
  CHECK_EQ(types, 11);
}

TEST(groups_are_the_weights) {
  const GgufHeader header = files::parse_gguf(fixture());
  for (const char* name : {"Q4_0", "Q4_1", "Q4_K"}) {
    const GgufTensor& tensor = header.tensors().at(name);
    CHECK(is_affine_ggml(tensor.type));
    const std::vector<float> weights = decoded(tensor);
    std::vector<GgmlGroup> groups(weights.size() / 32);
    const size_t blocks = tensor.bytes / ggml_type(tensor.type).block_bytes;
    split_ggml(tensor.type, reinterpret_cast<const uint8_t*>(fixture().data()) + tensor.begin, blocks, groups.data());
    for (size_t i = 0; i < weights.size(); ++i) {
      const GgmlGroup& group = groups[i / 32];
      CHECK(group.codes[i % 32] < 16);
      // One rounding less than llama.cpp's: exact for Q4_0 and Q4_1, whose products fit.
      const float held = std::fma(group.scale, static_cast<float>(group.codes[i % 32]), group.minimum);
      if (tensor.type == GgmlType::kQ4K)
        CHECK_NEAR(held, weights[i], 1e-6 * (std::abs(group.scale) * 15 + std::abs(group.minimum)));
      else
        CHECK_EQ(held, weights[i]);
    }
    if (tensor.type == GgmlType::kQ4K) continue;
    for (const GgmlGroup& group : groups) {  // fp16 holds them exactly
      CHECK_EQ(fp16_to_float(float_to_fp16(group.scale)), group.scale);
      CHECK_EQ(fp16_to_float(float_to_fp16(group.minimum)), group.minimum);
    }
  }
}

TEST(types_that_are_not_served_are_unknown) {
  for (const uint32_t number : {4u, 5u, 9u, 10u, 11u, 16u, 31u, 1000u}) CHECK(find_ggml_type(number) == nullptr);
}
