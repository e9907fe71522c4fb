#include "model/adapter_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/error.h"
#include "model/json_object.h"

namespace polygraft {
namespace {

constexpr const char* kSource = "adapter_config.json";
constexpr size_t kMaxPatternBytes = 64u << 10;  // of all keys of a rank_pattern or alpha_pattern

// Keys that this reader understands.
constexpr std::array kRead = {"peft_type",
                              "task_type",
                              "base_model_name_or_path",
                              "r",
                              "lora_alpha",
                              "use_rslora",
                              "rank_pattern",
                              "alpha_pattern",
                              "target_modules",
                              "exclude_modules",
                              "layers_to_transform",
                              "layers_pattern",
                              "fan_in_fan_out",
                              "bias",
                              "init_lora_weights"};
// Keys that matter for training, or for other models than those served here.
constexpr std::array kIgnored = {"auto_mapping",   "revision",           "peft_version",  "inference_mode",
                                 "lora_dropout",   "loftq_config",       "eva_config",    "corda_config",
                                 "lora_ga_config", "runtime_config",     "megatron_core", "qalora_group_size",
                                 "velora_config",  "ensure_weight_tying"};

// Python's truth: what PEFT's `if config.key` sees.
bool truthy(const Json& value) {
  switch (value.type()) {
    case Json::Type::kNull:
      return false;
    case Json::Type::kBool:
      return value.boolean();
    case Json::Type::kNumber:
      return value.number() != 0;
    case Json::Type::kString:
      return !value.string().empty();
    case Json::Type::kArray:
      return !value.array().empty();
    case Json::Type::kObject:
      return !value.members().empty();
  }
  return true;
}

template <size_t N>
bool contains(const std::array<const char*, N>& list, const std::string& key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

// "model.layers.0.self_attn.q_proj" ends in "q_proj" and in "self_attn.q_proj".
bool ends_in_any(const std::string& module, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return module.ends_with("." + name); });
}

// Everything that would change the forward pass in a way that is not computed here.
void refuse_unserved(const JsonObject& json) {
  for (const auto& [key, value] : json.json().members())
    if (!contains(kRead, key) && !contains(kIgnored, key) && truthy(value))
      throw Error(PG_UNIMPLEMENTED, key.substr(0, 100),
                  std::string(kSource) + ": " + key.substr(0, 100) + " is set, which this engine does not serve");

  if (const auto type = json.string("peft_type"); !type || *type != "LORA")
    json.refuse(PG_UNIMPLEMENTED, "peft_type", "must be \"LORA\"");
  if (const auto task = json.string("task_type"); task && *task != "CAUSAL_LM")
    json.refuse(PG_UNIMPLEMENTED, "task_type", "is " + quote_json(task->substr(0, 32)) + "; \"CAUSAL_LM\" is served");
  if (json.boolean("fan_in_fan_out", false))
    json.refuse(PG_UNIMPLEMENTED, "fan_in_fan_out", "is true: transposed weights are not served");
  if (const auto bias = json.string("bias"); bias && *bias != "none")
    json.refuse(PG_UNIMPLEMENTED, "bias", "is " + quote_json(bias->substr(0, 32)) + "; \"none\" is served");

  // PiSSA, OLoRA, CorDA, LoRA-GA, LoftQ … also change the base model's weights when they begin. PEFT writes `true` here
  // once an adapter is converted to a plain one.
  if (const Json* init = json.get("init_lora_weights"); init != nullptr && !init->is_bool()) {
    const std::string& name = init->string();
    if (name != "gaussian" && name != "eva" && name != "orthogonal")
      json.refuse(PG_UNIMPLEMENTED, "init_lora_weights",
                  "is " + quote_json(name.substr(0, 32)) +
                      ", which changes the base model; save the adapter converted "
                      "(path_initial_model_for_weight_conversion)");
  }
}

}  // namespace

AdapterConfig::AdapterConfig(const std::string& text) {
  const Json root = parse_json(text, kSource);
  const JsonObject json(root, kSource);
  refuse_unserved(json);

  base_model_ = json.string("base_model_name_or_path").value_or("");
  rank_ = static_cast<uint32_t>(json.integer("r", 1, kMaxAdapterRank, 8));
  alpha_ = json.number("lora_alpha", -1e6, 1e6, 8.0);
  rslora_ = json.boolean("use_rslora", false);

  const auto read_patterns = [&](const char* key, std::vector<Named>& out, bool ranks) {
    const auto object = json.object(key);
    if (!object) return;
    size_t bytes = 0;
    for (const auto& [name, unused] : object->json().members()) {
      if ((bytes += name.size()) > kMaxPatternBytes)
        json.refuse(PG_FAILED_PRECONDITION, key,
                    "has more than " + std::to_string(kMaxPatternBytes) + " bytes of keys");
      const double value = ranks ? static_cast<double>(object->integer(name.c_str(), 1, kMaxAdapterRank))
                                 : object->number(name.c_str(), -1e6, 1e6);
      out.push_back({NamePattern("(.*\\.)?(" + name + ")$", key), value});  // PEFT's get_pattern_key
    }
  };
  read_patterns("rank_pattern", rank_pattern_, true);
  read_patterns("alpha_pattern", alpha_pattern_, false);

  const Json* target = json.get("target_modules");
  if (target == nullptr) json.refuse(PG_FAILED_PRECONDITION, "target_modules", "is missing");
  if (target->is_string()) {
    all_linear_ = target->string() == "all-linear";
    if (!all_linear_) target_pattern_.emplace(target->string(), "target_modules");
  } else {
    target_list_ = json.strings("target_modules");
  }
  if (const Json* exclude = json.get("exclude_modules"); exclude != nullptr && exclude->is_string() && truthy(*exclude))
    exclude_pattern_.emplace(exclude->string(), "exclude_modules");
  else
    exclude_list_ = json.strings("exclude_modules");
  layers_ = json.integers("layers_to_transform", 0, 1u << 20);
  for (const std::string& name : json.strings("layers_pattern"))
    if (!name.empty()) layer_lists_.emplace_back("(.*\\.)?(" + name + ")", "layers_pattern");

  // These exist in every model served here, and an adapter on them has no place in the engine.
  for (const char* module : {"lm_head", "model.embed_tokens"})
    if (targets(module))
      json.refuse(PG_UNIMPLEMENTED, "target_modules", std::string("selects ") + module + ", which is not served");
}

const AdapterConfig::Named* AdapterConfig::first_match(const std::vector<Named>& list, const std::string& module) {
  for (const Named& entry : list)
    if (entry.pattern.full_match(module)) return &entry;
  return nullptr;
}

// layers_to_transform and layers_pattern, which PEFT heeds for lists of names only.
bool AdapterConfig::selects_layer(const std::string& module) const {
  if (layers_.empty()) return true;
  // "model.layers.3.…": the list's name and the index.
  constexpr std::string_view kPrefix = "model.layers.";
  if (!module.starts_with(kPrefix)) return false;
  const std::string_view list = kPrefix.substr(0, kPrefix.size() - 1);
  if (!layer_lists_.empty() &&
      std::none_of(layer_lists_.begin(), layer_lists_.end(), [&](const NamePattern& p) { return p.full_match(list); }))
    return false;
  const uint64_t index = std::stoull(module.substr(kPrefix.size()));
  return std::find(layers_.begin(), layers_.end(), index) != layers_.end();
}

bool AdapterConfig::selects(const std::string& module) const {
  if (all_linear_) return module != "lm_head" && module != "model.embed_tokens";
  if (target_pattern_) return target_pattern_->full_match(module);
  if (std::find(target_list_.begin(), target_list_.end(), module) != target_list_.end()) return true;
  return ends_in_any(module, target_list_) && selects_layer(module);
}

bool AdapterConfig::targets(const std::string& module) const {
  if (exclude_pattern_ && exclude_pattern_->full_match(module)) return false;
  const bool named = std::find(exclude_list_.begin(), exclude_list_.end(), module) != exclude_list_.end();
  return !named && !ends_in_any(module, exclude_list_) && selects(module);
}

uint32_t AdapterConfig::rank(const std::string& module) const {
  const Named* match = first_match(rank_pattern_, module);
  return match != nullptr ? static_cast<uint32_t>(match->value) : rank_;
}

float AdapterConfig::scaling(const std::string& module) const {
  const Named* match = first_match(alpha_pattern_, module);
  const double alpha = match != nullptr ? match->value : alpha_, r = rank(module);
  return static_cast<float>(rslora_ ? alpha / std::sqrt(r) : alpha / r);
}

}  // namespace polygraft
