// GPTQ, AWQ and NF4 checkpoints: single layers against test/fixtures/packed_layers.py, and whole folders.
#include "model/quantized_source.h"

#include <cmath>
#include <filesystem>
#include <set>

#include "model/half.h"
#include "model/loader.h"
#include "model/quantize.h"
#include "test/check.h"
#include "test/support/files.h"
#include "test/support/weights.h"

using namespace polygraft;
using Method = FileQuantization::Method;

namespace {

constexpr uint32_t kN = 8, kK = 256, kGroup = 64;

const Checkpoint& fixture() {
  static const Checkpoint checkpoint(std::string(PG_TEST_DIR) + "/fixtures/packed");
  return checkpoint;
}

std::vector<float> expected(const std::string& name) {
  std::vector<float> values(size_t{kN} * kK);
  fixture().find(name + ".expected")->read_floats(0, values);
  return values;
}

std::vector<uint8_t> codes(const std::string& name) {
  std::vector<uint8_t> values(size_t{kN} * kK);
  const CheckpointTensor& tensor = *fixture().find(name + ".codes");
  tensor.file->read_bytes(*tensor.info, 0, values);
  return values;
}

std::unique_ptr<SourceTensor> layer(const std::string& name) {
  if (name.starts_with("nf4")) return nf4_tensor(fixture(), name, kN, kK);
  const bool awq = name == "awq";
  return int4_tensor(fixture(), name, kN, kK, {awq ? Method::kAwq : Method::kGptq, kGroup, !awq && name != "gptq_v2"});
}

const char* const kLayers[] = {"gptq", "gptq_v2", "gptq_act_order", "awq", "nf4", "nf4_nested"};

}  // namespace

TEST(layers_are_what_their_layouts_say) {
  for (const std::string name : kLayers) {
    const std::vector<float> want = expected(name);
    std::vector<float> all(want.size());
    layer(name)->read_floats(0, all);
    // Double quantization adds up in float here and in double there; all else is exact.
    const double bound = name == "nf4_nested" ? 1e-8 : name == "nf4" ? 1e-9 : 0;
    for (size_t i = 0; i < all.size(); ++i) CHECK_NEAR(all[i], want[i], bound);
    std::vector<float> part(3 * kK);
    layer(name)->read_floats(5 * kK, part);
    CHECK(std::equal(part.begin(), part.end(), all.begin() + 5 * kK));
  }
}

TEST(layers_stay_on_their_own_grid) {
  for (const std::string name : kLayers) {
    const auto tensor = layer(name);
    const bool nf4 = name.starts_with("nf4"), ordered = name == "gptq_act_order";
    REQUIRE((tensor->grid() == OwnGrid{nf4 ? Scheme::kNf4 : Scheme::kW4, kGroup, ordered}));
    WeightMatrix held = allocate_matrix(kN, kK, tensor->grid()->scheme, kGroup);
    tensor->read_grid(0, 7, held);
    tensor->read_grid(7, kN - 7, held);
    const std::vector<uint8_t> want = codes(name);
    const std::vector<float> values = expected(name);
    CHECK_EQ(held.order.size(), ordered ? kK : 0u);
    std::set<uint32_t> inputs;
    for (uint32_t c = 0; c < kK; ++c) inputs.insert(held.input_of(c));
    CHECK_EQ(inputs.size(), kK);
    for (uint32_t r = 0; r < kN; ++r)
      for (uint32_t c = 0; c < kK; ++c) {
        const size_t column = size_t{r} * kK + c, at = size_t{r} * kK + held.input_of(c);
        CHECK_EQ(held.codes[column / 2] >> c % 2 * 4 & 15, want[at]);
        // fp16 rounds NF4's absmax, and the minimum of a group with a zero point: by 2^-11 of its own size.
        const float scale = fp16_to_float(held.scales[column / kGroup]);
        CHECK_NEAR(dequantize(held, r, c), values[at], std::abs(scale) * (nf4 ? 1 : 16) * 0x1p-11);
      }
  }
}

TEST(groups_of_the_kernels_divide_those_of_files) {
  CHECK_EQ(served_group(0).value(), 128u);  // whole rows
  CHECK_EQ(served_group(1024).value(), 128u);
  CHECK_EQ(served_group(64).value(), 64u);
  CHECK_EQ(served_group(96).value(), 32u);
  CHECK(!served_group(16).has_value());
}

namespace {

// A golden model whose layers are replaced by random packed ones.
struct Packed {
  files::TempDir dir;
  std::string path = dir / "model";
  std::vector<files::Tensor> tensors;
  std::string quantization;

  explicit Packed(Method method, const std::string& settings, uint32_t group = 32) : quantization(settings) {
    files::copy_dir(std::string(PG_GOLDEN_DIR) + "/llama2", path);
    for (const files::Tensor& tensor : files::read_tensors(path + "/model.safetensors")) {
      if (tensor.name.find("_proj.weight") == std::string::npos) {
        tensors.push_back(tensor);
        continue;
      }
      const std::string layer = tensor.name.substr(0, tensor.name.size() - 7);
      const uint64_t n = tensor.shape[0], k = tensor.shape[1];
      if (method == Method::kNf4)
        add_nf4(layer, n, k, group);
      else
        add_int4(layer, n, k, group, method == Method::kAwq);
    }
  }

  files::Tensor& at(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const files::Tensor& t) { return t.name == name; });
  }

  LoadedModel load(Scheme scheme, const std::string& cache = "") {
    files::write_tensors(path + "/model.safetensors", tensors);
    std::string config = files::read_file(std::string(PG_GOLDEN_DIR) + "/llama2/config.json");
    config.insert(config.find('{') + 1, "\"quantization_config\": " + quantization + ",");
    files::write_file(path + "/config.json", config);
    return load_model(path, {scheme, 128, scheme == Scheme::kF32 ? 32u : 8u}, cache, {});
  }

 private:
  uint32_t state_ = 1;
  uint32_t random() { return state_ = state_ * 1664525u + 1013904223u; }
  std::string noise(size_t bytes) {
    std::string out;
    while (out.size() < bytes) out += static_cast<char>(random() >> 24);
    return out;
  }
  std::string halves(size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) {
      const uint16_t half = float_to_fp16(0.01f + 1e-6f * static_cast<float>(random() >> 20));
      out.append(reinterpret_cast<const char*>(&half), 2);
    }
    return out;
  }
  void add_int4(const std::string& layer, uint64_t n, uint64_t k, uint32_t group, bool awq) {
    const uint64_t groups = group == 0 ? 1 : (k + group - 1) / group;
    const std::vector<uint64_t> shape = awq ? std::vector<uint64_t>{k, n / 8} : std::vector<uint64_t>{k / 8, n};
    tensors.push_back({layer + ".qweight", DType::kI32, shape, noise(n * k / 2)});
    // Zero points of 8: their products with scales are exact in fp16.
    tensors.push_back({layer + ".qzeros", DType::kI32, {groups, n / 8}, std::string(groups * n / 2, awq ? '\x88' : '\x77')});
    tensors.push_back({layer + ".scales", DType::kF16, {groups, n}, halves(groups * n)});
    if (!awq) tensors.push_back({layer + ".bias", DType::kF16, {n}, std::string(n * 2, '\0')});
  }
  void add_nf4(const std::string& layer, uint64_t n, uint64_t k, uint32_t block) {
    const std::string weight = layer + ".weight";
    std::string absmax;
    for (uint64_t i = 0; i < n * k / block; ++i) {
      const float value = 0.05f + 0.001f * static_cast<float>(i % 31);
      absmax.append(reinterpret_cast<const char*>(&value), 4);
    }
    const std::string state = "{\"quant_type\": \"nf4\", \"blocksize\": " + std::to_string(block) + ", \"shape\": [" +
                              std::to_string(n) + ", " + std::to_string(k) + "]}";
    tensors.push_back({weight, DType::kU8, {n * k / 2, 1}, noise(n * k / 2)});
    tensors.push_back({weight + ".absmax", DType::kF32, {n * k / block}, absmax});
    tensors.push_back({weight + ".quant_map", DType::kF32, {16}, {reinterpret_cast<const char*>(kNf4Table), 64}});
    tensors.push_back({weight + ".quant_state.bitsandbytes__nf4", DType::kU8, {state.size()}, state});
  }
};

const std::string kGptq = R"({"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": false})";
const std::string kAwq = R"({"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": true})";
const std::string kNf4 = R"({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"})";

double largest_difference(const LoadedModel& held, const LoadedModel& exact) {
  double most = 0;
  for (size_t i = 0; i < held.weights.layers.size(); ++i)
    for (size_t p = 0; p < 7; ++p) {
      const WeightMatrix &w = held.weights.layers[i].projections[p], &f = exact.weights.layers[i].projections[p];
      for (uint32_t r = 0; r < w.n; ++r)
        for (uint32_t c = 0; c < w.k; ++c)
          most = std::max(most, std::abs(double{dequantize(w, r, c)} - f.values[size_t{r} * w.k + w.input_of(c)]));
    }
  return most;
}

void check_held(const LoadedModel& model, OwnGrid grid) {
  for (const LayerWeights& layer : model.weights.layers)
    for (const WeightMatrix& w : layer.projections) CHECK((OwnGrid{w.scheme, w.group, !w.order.empty()} == grid));
}

// g_idx of a layer with 64 inputs in two groups, whose order depends on `seed`.
files::Tensor group_index(const std::string& layer, uint64_t k, uint32_t seed, uint32_t group = 32) {
  std::vector<int32_t> groups(k);
  for (uint32_t i = 0; i < k; ++i) groups[i] = static_cast<int32_t>((i * (2 * seed + 1) + seed) % k / group);
  return {layer + ".g_idx", DType::kI32, {k}, {reinterpret_cast<const char*>(groups.data()), k * 4}};
}

}  // namespace

TEST(folders_are_served_on_their_own_grid) {
  for (const auto& [method, settings] : {std::pair(Method::kGptq, kGptq), std::pair(Method::kAwq, kAwq)}) {
    Packed packed(method, settings);
    const LoadedModel held = packed.load(Scheme::kW4), exact = packed.load(Scheme::kF32);
    check_held(held, {Scheme::kW4, 32});
    CHECK_EQ(largest_difference(held, exact), 0.0);
    CHECK(held.weights.embedding.scheme == Scheme::kW8);
  }
  Packed packed(Method::kNf4, kNf4, 64);
  const LoadedModel held = packed.load(Scheme::kW4), exact = packed.load(Scheme::kF32);
  check_held(held, {Scheme::kNf4, 64});
  CHECK_NEAR(largest_difference(held, exact), 0.0, 0.1 * 0x1p-11);
}

TEST(groups_of_whole_rows_become_groups_of_128) {
  Packed packed(Method::kGptq, R"({"quant_method": "gptq", "bits": 4, "group_size": -1})", 0);
  const LoadedModel held = packed.load(Scheme::kW4), exact = packed.load(Scheme::kF32);
  check_held(held, {Scheme::kW4, 128});
  CHECK_EQ(largest_difference(held, exact), 0.0);
}

// Each layer in an order of its own, also where layers share an input.
TEST(layers_in_activation_order_are_served_on_their_own_grid) {
  Packed packed(Method::kGptq, kGptq);
  uint32_t seed = 0;
  std::vector<files::Tensor> indices;
  for (const files::Tensor& tensor : packed.tensors)
    if (tensor.name.ends_with(".qweight"))
      indices.push_back(group_index(tensor.name.substr(0, tensor.name.size() - 8), 8 * tensor.shape[0], ++seed));
  packed.tensors.insert(packed.tensors.end(), indices.begin(), indices.end());
  const std::string cache = packed.dir / "cache";
  const LoadedModel held = packed.load(Scheme::kW4), exact = packed.load(Scheme::kF32);
  check_held(held, {Scheme::kW4, 32, true});
  CHECK_EQ(largest_difference(held, exact), 0.0);
  const LoadedModel first = packed.load(Scheme::kW4, cache), again = packed.load(Scheme::kW4, cache);
  CHECK(weights_equal(first.weights, held.weights) && weights_equal(again.weights, held.weights));
  CHECK(held.weights.layers[0].projections[0].order != held.weights.layers[0].projections[1].order);
}

// Groups that are not filled evenly have no place on a grid.
TEST(orders_that_fill_groups_unevenly_are_held_in_8_bits) {
  Packed packed(Method::kGptq, kGptq);
  const std::string layer = "model.layers.0.mlp.up_proj";
  packed.tensors.push_back(group_index(layer, 64, 1));
  std::string& bytes = packed.tensors.back().bytes;
  bytes[0] = bytes[0] == 0 ? 1 : 0;
  const LoadedModel held = packed.load(Scheme::kW4), exact = packed.load(Scheme::kF32);
  CHECK(held.weights.layers[0].projections[static_cast<size_t>(Projection::kUp)].scheme == Scheme::kW8);
  CHECK_NEAR(largest_difference(held, exact), 0.0, 8 * 0.0142 / 253);
}

// The kernels have no groups of 16: what the file has is rounded to 8 bits, not to 4 once more.
TEST(layers_without_a_grid_of_the_engines_are_held_in_8_bits) {
  Packed packed(Method::kGptq, R"({"quant_method": "gptq", "bits": 4, "group_size": 16})", 16);
  const LoadedModel held = packed.load(Scheme::kW4), exact = packed.load(Scheme::kF32);
  check_held(held, {Scheme::kW8, 32});
  CHECK_NEAR(largest_difference(held, exact), 0.0, 8 * 0.0142 / 253);
}

TEST(what_is_not_served_is_named) {
  const auto with = [](Method method, const std::string& settings) { Packed(method, settings).load(Scheme::kW4); };
  CHECK_THROWS(PG_UNIMPLEMENTED, "quantization_config.bits", "can be held in 8 by --scheme w8",
               with(Method::kGptq, R"({"quant_method": "gptq", "bits": 8, "group_size": 32})"));
  CHECK_THROWS(PG_UNIMPLEMENTED, "quantization_config.version", "served is \"gemm\"",
               with(Method::kAwq, R"({"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemv"})"));
  CHECK_THROWS(PG_UNIMPLEMENTED, "quantization_config.quant_method", "served are gptq, awq",
               with(Method::kAwq, R"({"quant_method": "hqq"})"));
  CHECK_THROWS(PG_UNIMPLEMENTED, "quantization_config.bnb_4bit_quant_type", "nf4",
               with(Method::kNf4, R"({"quant_method": "bitsandbytes", "load_in_4bit": true})"));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "quantization_config.group_size", "", 
               with(Method::kGptq, R"({"quant_method": "gptq", "bits": 4, "group_size": -7})"));
}

TEST(tensors_at_fault_are_named) {
  const std::string layer = "model.layers.0.mlp.up_proj";
  {
    Packed packed(Method::kGptq, kGptq);
    packed.at(layer + ".scales").name = layer + ".scalez";
    CHECK_THROWS(PG_FAILED_PRECONDITION, layer + ".scales", "lacks", packed.load(Scheme::kW4));
  }
  {
    Packed packed(Method::kGptq, kGptq);
    packed.at(layer + ".bias").bytes[1] = 0x3c;
    CHECK_THROWS(PG_UNIMPLEMENTED, layer + ".bias", "does not use", packed.load(Scheme::kW4));
  }
  {
    Packed packed(Method::kAwq, kAwq);
    packed.at(layer + ".qzeros").shape = {1, 32};
    CHECK_THROWS(PG_FAILED_PRECONDITION, layer + ".qzeros", "config.json calls for", packed.load(Scheme::kW4));
  }
  {
    Packed packed(Method::kAwq, kAwq);
    packed.at(layer + ".scales").bytes.replace(0, 2, "\xff\x7f");
    CHECK_THROWS(PG_DATA_LOSS, layer + ".scales", "NaN", packed.load(Scheme::kW4));
  }
  {
    Packed packed(Method::kGptq, kGptq);
    std::string order(64 * 4, '\0');
    order[3] = '\x7f';
    packed.tensors.push_back({layer + ".g_idx", DType::kI32, {64}, order});
    CHECK_THROWS(PG_DATA_LOSS, layer + ".g_idx", "names group", packed.load(Scheme::kW4));
  }
  {
    Packed packed(Method::kNf4, kNf4, 64);
    files::Tensor& state = packed.at(layer + ".weight.quant_state.bitsandbytes__nf4");
    state.bytes = "{\"blocksize\": 64, \"shape\": [1, 2]}";
    state.shape = {state.bytes.size()};
    CHECK_THROWS(PG_FAILED_PRECONDITION, "shape", "config.json calls for", packed.load(Scheme::kW4));
  }
}
