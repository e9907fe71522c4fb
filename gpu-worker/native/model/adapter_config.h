// adapter_config.json of PEFT, read and checked: which modules a LoRA adapter changes, with which rank and scaling.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/name_pattern.h"

namespace polygraft {

inline constexpr uint32_t kMaxAdapterRank = 256;

class AdapterConfig {
 public:
  // Throws Error naming the key that is wrong, or that asks for something which is not served.
  explicit AdapterConfig(const std::string& text);

  // base_model_name_or_path; empty if not set.
  const std::string& base_model() const { return base_model_; }

  // Whether PEFT would adapt the module "model.layers.3.self_attn.q_proj", and how.
  bool targets(const std::string& module) const;
  uint32_t rank(const std::string& module) const;
  float scaling(const std::string& module) const;  // alpha / rank, or alpha / sqrt(rank)

 private:
  struct Named {
    NamePattern pattern;
    double value;
  };
  static const Named* first_match(const std::vector<Named>& list, const std::string& module);
  bool selects(const std::string& module) const;
  bool selects_layer(const std::string& module) const;

  std::string base_model_;
  uint32_t rank_ = 0;
  double alpha_ = 0;
  bool rslora_ = false;
  std::vector<Named> rank_pattern_, alpha_pattern_;
  // target_modules is a list of name endings or one pattern; exclude_modules as well.
  std::vector<std::string> target_list_, exclude_list_;
  std::optional<NamePattern> target_pattern_, exclude_pattern_;
  bool all_linear_ = false;
  std::vector<uint64_t> layers_;          // layers_to_transform; empty: all
  std::vector<NamePattern> layer_lists_;  // layers_pattern
};

}  // namespace polygraft
