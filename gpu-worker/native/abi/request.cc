#include "abi/request.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>
#include <span>
#include <string>

#include "model/error.h"

namespace polygraft {
namespace {

constexpr uint32_t kMaxStopIds = 64;
constexpr uint32_t kMaxBiases = 1024;
constexpr uint32_t kMaxTopLogprobs = 20;
constexpr int32_t kMaxPriority = 100;
constexpr uint32_t kMaxSaltBytes = 256;
constexpr uint32_t kMaxTenantBytes = 128;
// A request without a deadline goes before those that come so much later, however much of a hurry they are in.
constexpr uint64_t kNoHurryMillis = 60'000;

[[noreturn]] void refuse(const char* field, const std::string& message) {
  throw Error(PG_INVALID_ARGUMENT, field, std::string(field) + " " + message);
}

std::string text(float value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  return {buffer, end};
}

// NaN is in no range.
void check_range(const char* field, float value, float low, float high) {
  if (!(value >= low && value <= high)) {
    refuse(field, "is " + text(value) + ", allowed are " + text(low) + " to " + text(high));
  }
}

void check_above_zero(const char* field, float value, float high) {
  if (!(value > 0 && value <= high)) {
    refuse(field, "is " + text(value) + ", allowed are values above 0 to " + text(high));
  }
}

void check_count(const char* field, uint32_t count, uint32_t most) {
  if (count > most) refuse(field, "has " + std::to_string(count) + " entries, at most " + std::to_string(most));
}

void check_token(const char* field, uint32_t token, const ModelConfig& config) {
  if (token >= config.vocab_size) {
    refuse(field, "has token " + std::to_string(token) + ", the vocabulary has " + std::to_string(config.vocab_size));
  }
}

template <typename T>
std::span<const T> list(const char* field, const T* items, uint32_t count) {
  if (count > 0 && items == nullptr) refuse(field, "is missing");
  return {items, count};
}

std::vector<uint32_t> check_prompt(const pg_request& request, const ModelConfig& config, uint32_t max_context) {
  const auto tokens = list("prompt", request.prompt, request.prompt_count);
  if (tokens.empty()) refuse("prompt", "is empty: at least one token is needed");
  if (request.resumed_count >= tokens.size()) {
    refuse("resume.token_ids", "leave no prompt: at least one prompt token is needed");
  }
  const std::string limit = std::to_string(tokens.size()) + " tokens, the context holds " + std::to_string(max_context);
  if (tokens.size() > max_context) refuse("prompt", "has " + limit);
  if (tokens.size() == max_context && request.resumed_count == 0 && request.max_tokens > 0) {
    refuse("prompt", "has " + limit + ": no room is left for output");
  }
  for (const uint32_t token : tokens) check_token("prompt", token, config);
  return {tokens.begin(), tokens.end()};
}

std::vector<uint32_t> check_stops(const pg_request& request, const ModelConfig& config) {
  const char* const field = "stopping.stop_token_ids";
  check_count(field, request.stop_count, kMaxStopIds);
  const auto ids = list(field, request.stop_ids, request.stop_count);
  for (const uint32_t token : ids) check_token(field, token, config);
  std::vector<uint32_t> stops(ids.begin(), ids.end());
  if (!request.ignore_eos) stops.insert(stops.end(), config.eos_token_ids.begin(), config.eos_token_ids.end());
  return stops;
}

std::vector<pg_logit_bias> check_bias(const pg_request& request, const ModelConfig& config) {
  const char* const field = "sampling.logit_bias";
  check_count(field, request.bias_count, kMaxBiases);
  const auto entries = list(field, request.bias, request.bias_count);
  std::set<uint32_t> banned;
  for (const auto& [token, bias] : entries) {
    check_token(field, token, config);
    check_range(field, bias, kBanBias, -kBanBias);
    if (bias <= kBanBias) banned.insert(token);
  }
  if (banned.size() == config.vocab_size) refuse(field, "bans every token");
  return {entries.begin(), entries.end()};
}

std::string check_bytes(const char* field, const char* given, uint32_t count, uint32_t most) {
  if (count > most) refuse(field, "has " + std::to_string(count) + " bytes, at most " + std::to_string(most));
  const auto bytes = list(field, given, count);
  return {bytes.begin(), bytes.end()};
}

// In milliseconds of the steady clock.
uint64_t deadline(uint32_t millis) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) +
         (millis != 0 ? millis : kNoHurryMillis);
}

SamplingParams check_sampling(const pg_request& request, const ModelConfig& config) {
  check_range("sampling.temperature", request.temperature, 0, 10);
  check_above_zero("sampling.top_p", request.top_p, 1);
  check_range("sampling.min_p", request.min_p, 0, 1);
  check_above_zero("sampling.repetition_penalty", request.repetition_penalty, 10);
  check_range("sampling.frequency_penalty", request.frequency_penalty, -10, 10);
  check_range("sampling.presence_penalty", request.presence_penalty, -10, 10);
  return {.temperature = request.temperature,
          .top_k = request.top_k,
          .top_p = request.top_p,
          .min_p = request.min_p,
          .repetition_penalty = request.repetition_penalty,
          .frequency_penalty = request.frequency_penalty,
          .presence_penalty = request.presence_penalty,
          .seed = request.seed,
          .bias = check_bias(request, config)};
}

}  // namespace

SequenceOptions check_request(const pg_request& request, const ModelConfig& config, uint32_t max_context,
                              const AdapterSlots& slots) {
  SequenceOptions options;
  options.id = request.id;
  options.prompt = check_prompt(request, config, max_context);
  options.resumed = request.resumed_count;
  options.max_tokens = request.max_tokens;
  options.min_tokens = request.min_tokens;
  if (request.min_tokens > request.max_tokens) {
    refuse("stopping.min_tokens", "is " + std::to_string(request.min_tokens) + ", more than stopping.max_tokens, " +
                                      std::to_string(request.max_tokens));
  }
  options.stop_ids = check_stops(request, config);
  options.sampling = check_sampling(request, config);
  options.logprobs = request.logprobs;
  options.prompt_logprobs = request.prompt_logprobs;
  options.top_logprobs = request.top_logprobs;
  if (request.top_logprobs > kMaxTopLogprobs) {
    refuse("response.top_logprobs",
           "is " + std::to_string(request.top_logprobs) + ", at most " + std::to_string(kMaxTopLogprobs));
  }
  options.priority = request.priority;
  if (request.priority < -kMaxPriority || request.priority > kMaxPriority) {
    refuse("qos.priority", "is " + std::to_string(request.priority) + ", allowed are -100 to 100");
  }
  options.cache_bypass = request.cache_bypass;
  options.cache_salt = check_bytes("cache.salt", request.cache_salt, request.cache_salt_bytes, kMaxSaltBytes);
  options.tenant = check_bytes("qos.tenant", request.tenant, request.tenant_bytes, kMaxTenantBytes);
  options.deadline = deadline(request.deadline_millis);
  if (request.adapter_slot != PG_NO_ADAPTER) options.adapter = slots.lease(request.adapter_slot);
  return options;
}

}  // namespace polygraft
