// Which tokens of which sequences the next step computes.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "batch/fair_share.h"
#include "batch/kv_allocator.h"
#include "batch/prefix_cache.h"
#include "batch/prompt_queue.h"
#include "batch/sequence.h"

namespace polygraft {

// Bounds of a step.
struct StepLimits {
  uint32_t max_sequences = 64;
  uint32_t max_step_tokens = 512;  // at least max_sequences
  // Prompt tokens of a step in which others decode: what a prompt may add to the time between two of their tokens.
  uint32_t max_prefill_tokens = 64;
  // Prompt rows whose logits are wanted. They are held at once, a vocabulary each, so such prompts take smaller chunks.
  uint32_t max_scored_rows = 64;
  bool prefix_cache = true;
  // Tokens that a tenant or an adapter may be ahead of another before that goes first.
  uint32_t fair_quantum = 512;
  // Steps that the next in line waits for somebody to end before somebody with more than his share gives way.
  uint32_t patience = 8;
};

// A sequence's share of a step: `count` positions from `sequence->computed`.
struct Chunk {
  Sequence* sequence = nullptr;
  uint32_t count = 0;
};

// Continuous batching with paged KV, fair to tenants and adapters.
//
// Each step gives one token to every sequence that decodes; what is left of its budget goes to prompts, in chunks, in
// the order of PromptQueue. A sequence is admitted when there is a slot, and blocks for all of its tokens; while the
// next in line waits for that, nobody overtakes it, and if it waits for long, those give way that hold more than their
// share. When a growing sequence finds no block, one with the most of them gives up its own and waits to be computed
// again. README.md says what that guarantees. Owns the sequences. Not thread-safe: the step loop owns it.
class Scheduler {
 public:
  Scheduler(const StepLimits& limits, KvAllocator& kv);

  // Queues a sequence that has something to compute. Throws Error(PG_INVALID_ARGUMENT) if it can never fit into the KV
  // blocks, or if its id is in use.
  void add(std::unique_ptr<Sequence> sequence);
  // The next step: at most `max_sequences` chunks, each of at least one position. KV blocks are there for all of them.
  // Empty only if there are no sequences but parked ones.
  std::vector<Chunk> plan();
  // Notes that `count` more positions of a planned sequence are computed; blocks that are full now can be shared.
  void advance(Sequence& sequence, uint32_t count);
  // Takes a sequence out, wherever it is, and frees its blocks. Null if the id is unknown.
  std::unique_ptr<Sequence> remove(uint64_t id);
  // Takes note of adapters that were replaced, parked or brought back: from then on, nobody here holds the memory of
  // those that were parked. `plan` does the same.
  void follow_adapters();

  uint32_t running() const { return static_cast<uint32_t>(running_.size()); }
  uint32_t waiting() const { return waiting_.size() + static_cast<uint32_t>(parked_.size()); }
  // Whether there are sequences whose adapter is off the device.
  bool has_parked() const { return off_device_ > 0; }
  // All sequences, in no particular order.
  const std::unordered_map<uint64_t, std::unique_ptr<Sequence>>& sequences() const { return sequences_; }
  // How often a sequence gave up its blocks.
  uint64_t preemptions() const { return preemptions_; }
  const PrefixCache& prefix_cache() const { return cache_; }
  const FairShare& fair_share() const { return share_; }

 private:
  struct ByArrival {
    bool operator()(const Sequence* a, const Sequence* b) const { return a->arrival < b->arrival; }
  };
  // What is left of the step that is being planned.
  struct Budget {
    uint32_t tokens = 0, prompt_tokens = 0, scored_rows = 0;
  };

  bool plan_decodes();
  void plan_prompts(bool short_of_blocks);
  void plan_chunk(Sequence& sequence, uint32_t count);
  uint32_t prompt_chunk(const Sequence& sequence, uint32_t& scored_rows) const;
  bool admit(Sequence& sequence, bool short_of_blocks);
  bool has_room_for(const Sequence& sequence, const std::vector<uint32_t>& prefix,
                    const std::vector<Sequence*>& without = {}) const;
  bool make_room_for(const Sequence& sequence, const std::vector<uint32_t>& prefix);
  bool has_more_than_its_share(const Sequence& sequence, const Sequence& than) const;
  Sequence* most_served(const std::vector<Sequence*>& without = {}) const;
  bool uses_cache(const Sequence& sequence) const;
  std::vector<uint32_t> cached_prefix(const Sequence& sequence) const;
  void adopt(Sequence& sequence, std::vector<uint32_t> prefix);
  bool grow(Sequence& sequence, uint32_t tokens);
  void start(Sequence& sequence);
  void stop(Sequence& sequence);
  void preempt(Sequence& sequence);
  bool preempt_parked();
  void wait(Sequence& sequence);

  const StepLimits limits_;
  PrefixCache cache_;
  FairShare share_;
  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> sequences_;  // by id
  PromptQueue waiting_;                                                // without slot and blocks
  std::set<Sequence*, ByArrival> parked_;                              // neither, and their adapter is off the device
  PromptQueue partials_;  // running, and more of them to compute than one token
  std::set<Sequence*, ByArrival> running_;
  // Of the step that is being planned.
  std::vector<Chunk> chunks_;
  Budget budget_;
  uint32_t off_device_ = 0;  // sequences whose adapter is parked, whether they have slots and blocks or not
  uint64_t arrivals_ = 0;
  uint64_t preemptions_ = 0;
};

}  // namespace polygraft
