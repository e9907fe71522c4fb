#include "node/request_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polygraft::node {
namespace {

double number(Napi::Object object, const char* name, double fallback) {
  const Napi::Value value = object.Get(name);
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : fallback;
}

float real(Napi::Object object, const char* name, float fallback) {
  return static_cast<float>(number(object, name, fallback));
}

bool flag(Napi::Object object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

}  // namespace

uint32_t RequestReader::whole(double value, const char* field) {
  if (value >= 0 && value <= std::numeric_limits<uint32_t>::max() && value == std::floor(value)) {
    return static_cast<uint32_t>(value);
  }
  misfit_ = field;
  return 0;
}

uint32_t RequestReader::whole(Napi::Object object, const char* name, const char* field, uint32_t fallback) {
  return whole(number(object, name, fallback), field);
}

RequestReader::RequestReader(uint64_t id, Napi::Object object) {
  request_.size = sizeof(request_);
  request_.id = id;
  request_.adapter_slot = whole(object, "adapterSlot", "adapter", PG_NO_ADAPTER);
  if (const Napi::Value prompt = object.Get("prompt"); prompt.IsTypedArray()) {
    const auto tokens = prompt.As<Napi::TypedArray>();
    if (tokens.TypedArrayType() == napi_uint32_array) {
      request_.prompt = tokens.As<Napi::Uint32Array>().Data();
      request_.prompt_count = static_cast<uint32_t>(tokens.ElementLength());
    }
  }
  request_.resumed_count = whole(object, "resumedTokens", "resume.token_ids", 0);
  request_.max_tokens = whole(object, "maxTokens", "stopping.max_tokens", 0);
  request_.min_tokens = whole(object, "minTokens", "stopping.min_tokens", 0);
  if (const Napi::Value stops = object.Get("stopTokenIds"); stops.IsArray()) {
    const auto list = stops.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i)
      stops_.push_back(whole(list.Get(i).ToNumber().DoubleValue(), "stopping.stop_token_ids"));
  }
  request_.stop_ids = stops_.data();
  request_.stop_count = static_cast<uint32_t>(stops_.size());
  request_.ignore_eos = flag(object, "ignoreEos");
  request_.temperature = real(object, "temperature", 0);
  request_.top_k = whole(object, "topK", "sampling.top_k", 0);
  request_.top_p = real(object, "topP", 1);
  request_.min_p = real(object, "minP", 0);
  request_.repetition_penalty = real(object, "repetitionPenalty", 1);
  request_.frequency_penalty = real(object, "frequencyPenalty", 0);
  request_.presence_penalty = real(object, "presencePenalty", 0);
  if (const Napi::Value seed = object.Get("seed"); seed.IsBigInt()) {
    bool lossless;
    request_.seed = seed.As<Napi::BigInt>().Uint64Value(&lossless);
  }
  if (const Napi::Value bias = object.Get("logitBias"); bias.IsArray()) {
    const auto list = bias.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) {
      const Napi::Value entry = list.Get(i);
      if (!entry.IsObject()) continue;
      const auto fields = entry.As<Napi::Object>();
      const uint32_t token = whole(number(fields, "tokenId", -1), "sampling.logit_bias");
      bias_.push_back({token, real(fields, "bias", 0)});
    }
  }
  request_.bias = bias_.data();
  request_.bias_count = static_cast<uint32_t>(bias_.size());
  request_.logprobs = flag(object, "logprobs");
  request_.prompt_logprobs = flag(object, "promptLogprobs");
  request_.top_logprobs = whole(object, "topLogprobs", "response.top_logprobs", 0);
  if (const Napi::Value salt = object.Get("cacheSalt"); salt.IsString()) salt_ = salt.As<Napi::String>().Utf8Value();
  request_.cache_salt = salt_.data();
  request_.cache_salt_bytes = static_cast<uint32_t>(salt_.size());
  request_.cache_bypass = flag(object, "cacheBypass");
  if (const Napi::Value tenant = object.Get("tenant"); tenant.IsString()) {
    tenant_ = tenant.As<Napi::String>().Utf8Value();
  }
  request_.tenant = tenant_.data();
  request_.tenant_bytes = static_cast<uint32_t>(tenant_.size());
  request_.deadline_millis = whole(object, "deadlineMillis", "qos.ttft_target_millis", 0);
  request_.priority = static_cast<int32_t>(std::min(1e6, std::max(-1e6, number(object, "priority", 0))));
}

}  // namespace polygraft::node
