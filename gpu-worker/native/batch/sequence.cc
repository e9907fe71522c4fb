#include "batch/sequence.h"

#include <algorithm>
#include <span>
#include <utility>

namespace polygraft {

Sequence::Sequence(SequenceOptions options, uint32_t max_context)
    : options_(std::move(options)),
      max_context_(max_context),
      input_count_(static_cast<uint32_t>(options_.prompt.size()) - options_.resumed),
      tokens_(std::move(options_.prompt)) {
  if (options_.adapter) {
    edition_ = options_.adapter->edition();  // first: a replacement in between is found later
    content_ = options_.adapter->content();
    adapter_identity_ = options_.adapter->identity();
  }
  name_cache_scope();
  std::sort(options_.stop_ids.begin(), options_.stop_ids.end());
  if (options_.sampling.penalizes()) {
    const std::span<const uint32_t> all = tokens_;
    history_.add_prompt(all.first(input_count_));
    for (const uint32_t token : all.subspan(input_count_)) history_.add_output(token);
  }
}

// Identities hold no zero byte, so no salt can make one scope look like another.
void Sequence::name_cache_scope() { cache_scope_ = adapter_identity() + '\0' + options_.cache_salt; }

bool Sequence::follow() {
  if (!options_.adapter || options_.adapter->edition() == edition_) return false;
  edition_ = options_.adapter->edition();
  content_ = options_.adapter->content();
  if (!content_ || content_->identity() == adapter_identity_) return false;
  adapter_identity_ = content_->identity();
  if (computed > 0) {
    mixed_ = true;
  } else {
    name_cache_scope();
  }
  return true;
}

void Sequence::forget_computed() {
  computed = 0;
  mixed_ = false;
  name_cache_scope();
}

std::optional<pg_finish> Sequence::finish() const {
  const uint32_t outputs = output_count();
  // min_tokens counts the tokens before the stop.
  if (outputs > options_.min_tokens &&
      std::binary_search(options_.stop_ids.begin(), options_.stop_ids.end(), tokens_.back())) {
    return PG_FINISH_STOP_TOKEN;
  }
  if (outputs >= options_.max_tokens) return PG_FINISH_MAX_TOKENS;
  if (size() >= max_context_) return PG_FINISH_CONTEXT_FULL;
  return std::nullopt;
}

uint32_t Sequence::target() const {
  if (!finish()) return size();
  // Only scores are left: each comes from the position before its token.
  return options_.prompt_logprobs ? input_count_ - 1 : 0;
}

uint32_t Sequence::skippable() const {
  const uint32_t all = target();
  const uint32_t first_score = std::max(scored, 1u) - 1;
  return scores_at(first_score) ? std::min(first_score, all) : std::max(all, 1u) - 1;
}

uint32_t Sequence::final_size() const {
  const uint64_t most = std::max<uint64_t>(size(), uint64_t{input_count_} + options_.max_tokens);
  return static_cast<uint32_t>(std::min<uint64_t>(most, max_context_));
}

void Sequence::append(uint32_t token) {
  tokens_.push_back(token);
  if (options_.sampling.penalizes()) history_.add_output(token);
}

}  // namespace polygraft
