// One request on its way through the batch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "abi/engine.h"
#include "batch/adapter_slots.h"
#include "batch/fair_share.h"
#include "batch/sampler.h"
#include "batch/token_history.h"

namespace polygraft {

// What was asked for. Checked: every number is in its range and every token in the vocabulary.
struct SequenceOptions {
  uint64_t id = 0;
  int32_t priority = 0;            // higher goes first
  std::string tenant;              // whose fair share it uses
  uint64_t deadline = UINT64_MAX;  // of its first token: the earlier goes first. Any clock that all requests share
  std::vector<uint32_t> prompt;    // the last `resumed` of these are output delivered before
  uint32_t resumed = 0;
  uint32_t max_tokens = 0;  // output tokens, resumed ones included
  uint32_t min_tokens = 0;
  std::vector<uint32_t> stop_ids;  // the model's own included, unless they are to be ignored
  SamplingParams sampling;
  bool logprobs = false;
  bool prompt_logprobs = false;
  uint32_t top_logprobs = 0;
  AdapterLease adapter;
  std::string cache_salt;     // only requests of equal salt share cached prefixes
  bool cache_bypass = false;  // neither reads nor fills the prefix cache
};

// A request and how far it has come. Its tokens are the prompt, then the output; keys and values are computed from the
// first token on. Preemption drops the keys and values and nothing else, so what is computed again gives the same bits.
class Sequence {
 public:
  // `max_context`: most tokens of prompt and output together.
  Sequence(SequenceOptions options, uint32_t max_context);

  const SequenceOptions& options() const { return options_; }
  const std::vector<uint32_t>& tokens() const { return tokens_; }
  const TokenHistory& history() const { return history_; }
  uint32_t size() const { return static_cast<uint32_t>(tokens_.size()); }

  // Tokens of the prompt proper, without resumed output.
  uint32_t input_count() const { return input_count_; }
  // Output tokens so far, resumed ones included.
  uint32_t output_count() const { return size() - input_count_; }
  // Why nothing is left to generate, if so.
  std::optional<pg_finish> finish() const;
  // Positions to compute before the next token can be chosen, or the sequence can end.
  uint32_t target() const;
  // How many of those are not computed yet; 0 once the sequence has ended.
  uint32_t pending() const {
    const uint32_t all = target();
    return all > computed ? all - computed : 0;
  }
  // How many of its first positions need not be computed if their keys and values are there: the logits of none of
  // them are wanted.
  uint32_t skippable() const;
  // Whose fair share within the tenant it uses: the adapter's content; empty for the base.
  const std::string& adapter_identity() const { return adapter_identity_; }
  // The adapter that it is computed with. Null: the base alone, or parked.
  const AdapterContent* adapter() const { return content_.get(); }
  // Its adapter is off the device for a while: it cannot be computed.
  bool is_parked() const { return options_.adapter != nullptr && !content_; }
  // Takes over the content that its slot has now. True if that is another one than before: keys and values computed so
  // far stay as they are, but are shared with nobody from then on.
  bool follow();
  // Whether its keys and values come from one content, and so may be shared.
  bool is_pure() const { return !mixed_; }
  // Whose cached prefixes it may share: those of equal adapter content and equal salt.
  const std::string& cache_scope() const { return cache_scope_; }
  // Most tokens that it can ever have.
  uint32_t final_size() const;
  // Whether the logits at `position` are wanted as the score of the prompt token behind it. Scores reported before a
  // preemption are not wanted again.
  bool scores_at(uint32_t position) const {
    return options_.prompt_logprobs && position + 1 >= scored && position + 1 < input_count_;
  }

  void append(uint32_t token);
  // All keys and values are gone: what is computed from now on is of one content again.
  void forget_computed();

  // State of the scheduler and the runner.
  uint64_t arrival = 0;  // order of arrival
  FairShare::Account* account = nullptr;
  bool running = false;          // holds a slot and blocks
  uint32_t charged = 0;          // positions that its account paid for: what is computed again is free
  uint32_t blocked_steps = 0;    // steps in which it was next, but there was no room for it
  uint32_t computed = 0;         // positions with keys and values
  uint32_t scored = 0;           // prompt tokens whose score was reported
  bool started = false;          // PG_EVENT_STARTED was reported
  bool replaced = false;         // its adapter is another one than was reported
  std::vector<uint32_t> blocks;  // KV blocks by position / kKvBlockTokens
  uint32_t cached_blocks = 0;    // of those, how many are in the prefix cache: the first
  uint32_t cached_tokens = 0;    // prompt tokens that came from the prefix cache when it was first admitted

 private:
  void name_cache_scope();

  SequenceOptions options_;
  uint32_t max_context_;
  uint32_t input_count_;
  AdapterContentRef content_;
  std::string adapter_identity_;
  uint32_t edition_ = 0;  // of the slot, as last seen
  bool mixed_ = false;
  std::string cache_scope_;
  std::vector<uint32_t> tokens_;
  TokenHistory history_;  // kept only if the sampling penalizes
};

}  // namespace polygraft
