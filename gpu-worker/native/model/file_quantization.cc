#include "model/file_quantization.h"

#include "model/json_object.h"

namespace polygraft {
namespace {

void want_four_bits(const JsonObject& json, const char* key) {
  if (json.integer(key, 1, 64) == 4) return;
  json.refuse(PG_UNIMPLEMENTED, key,
              "is not 4, and only 4 bits are served; the model's bf16 or fp16 checkpoint can be held in 8 by --scheme w8");
}

// -1 means all inputs of a row.
uint32_t read_group(const JsonObject& json) {
  const Json* value = json.get("group_size");
  if (value != nullptr && value->is_integer() && value->integer() == -1) return 0;
  return static_cast<uint32_t>(json.integer("group_size", 1, 1u << 20));
}

void want(const JsonObject& json, const char* key, const char* only) {
  if (const auto text = json.string(key); text && *text != only)
    json.refuse(PG_UNIMPLEMENTED, key, "is " + quote_json(text->substr(0, 32)) + "; served is " + quote_json(only));
}

FileQuantization read_gptq(const JsonObject& json) {
  FileQuantization out;
  out.method = FileQuantization::Method::kGptq;
  want_four_bits(json, "bits");
  out.group = read_group(json);
  const std::string format = json.string("checkpoint_format").value_or("gptq");
  if (format != "gptq" && format != "gptq_v2")
    json.refuse(PG_UNIMPLEMENTED, "checkpoint_format",
                "is " + quote_json(format.substr(0, 32)) + "; served are \"gptq\" and \"gptq_v2\"");
  out.zeros_minus_one = format == "gptq";
  want(json, "pack_dtype", "int32");
  if (const Json* dynamic = json.get("dynamic"); dynamic != nullptr && !dynamic->members().empty())
    json.refuse(PG_UNIMPLEMENTED, "dynamic", "quantizes layers differently, which is not served");
  return out;
}

FileQuantization read_awq(const JsonObject& json) {
  FileQuantization out;
  out.method = FileQuantization::Method::kAwq;
  want_four_bits(json, json.has("bits") ? "bits" : "w_bit");
  out.group = json.has("group_size") || !json.has("q_group_size")
                  ? read_group(json)
                  : static_cast<uint32_t>(json.integer("q_group_size", 1, 1u << 20));
  const std::string version = json.string("version").value_or("gemm");
  if (version != "gemm" && version != "GEMM")
    json.refuse(PG_UNIMPLEMENTED, "version", "is " + quote_json(version.substr(0, 32)) + "; served is \"gemm\"");
  return out;
}

FileQuantization read_bitsandbytes(const JsonObject& json) {
  if (json.boolean("load_in_8bit", false))
    json.refuse(PG_UNIMPLEMENTED, "load_in_8bit", "is set; of bitsandbytes only 4-bit NF4 is served");
  if (json.string("bnb_4bit_quant_type").value_or("fp4") != "nf4")
    json.refuse(PG_UNIMPLEMENTED, "bnb_4bit_quant_type", "is not \"nf4\", the only one that is served");
  want(json, "bnb_4bit_quant_storage", "uint8");
  FileQuantization out;
  out.method = FileQuantization::Method::kNf4;
  return out;
}

}  // namespace

FileQuantization read_file_quantization(const JsonObject& config) {
  if (config.has("compression_config"))
    config.refuse(PG_UNIMPLEMENTED, "compression_config", "is not served; give the bf16, fp16 or fp32 checkpoint");
  const auto json = config.object("quantization_config");
  if (!json) return {};
  const std::string method =
      json->string("quant_method").value_or(json->has("load_in_4bit") ? "bitsandbytes" : "");
  if (method == "gptq") return read_gptq(*json);
  if (method == "awq") return read_awq(*json);
  if (method == "bitsandbytes") return read_bitsandbytes(*json);
  json->refuse(PG_UNIMPLEMENTED, "quant_method",
               "is " + quote_json(method.substr(0, 32)) +
                   "; served are gptq, awq and bitsandbytes, and checkpoints in bf16, fp16 or fp32");
}

}  // namespace polygraft
