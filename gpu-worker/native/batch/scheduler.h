// Which tokens of which sequences the next step computes.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "batch/kv_allocator.h"
#include "batch/prefix_cache.h"
#include "batch/sequence.h"

namespace polygraft {

// Bounds of a step.
struct StepLimits {
  uint32_t max_sequences = 64;
  uint32_t max_step_tokens = 512;  // at least max_sequences
  // Prompt rows whose logits are wanted. They are held at once, a vocabulary each, so such prompts take smaller chunks.
  uint32_t max_scored_rows = 64;
  bool prefix_cache = true;
};

// A sequence's share of a step: `count` positions from `sequence->computed`.
struct Chunk {
  Sequence* sequence = nullptr;
  uint32_t count = 0;
};

// Continuous batching with paged KV.
//
// Each step goes first to the sequences that decode, then to prompts in chunks, by rank: priority, then arrival. A
// sequence is admitted when there are blocks for all of its tokens; within a rank nobody overtakes, so nobody starves.
// When a growing sequence finds no block, the one of the lowest rank gives up its blocks and waits to be computed
// again; the highest rank always advances, so all sequences end. Owns the sequences. Not thread-safe: the step loop
// owns it.
class Scheduler {
 public:
  Scheduler(const StepLimits& limits, KvAllocator& kv);

  // Queues a sequence that has something to compute. Throws Error(PG_INVALID_ARGUMENT) if it can never fit into the KV
  // blocks, or if its id is in use.
  void add(std::unique_ptr<Sequence> sequence);
  // The next step: at most `max_sequences` chunks, each of at least one position. KV blocks are there for all of them.
  // Empty only if there are no sequences.
  std::vector<Chunk> plan();
  // Notes that `count` more positions of a planned sequence are computed; blocks that are full now can be shared.
  void advance(Sequence& sequence, uint32_t count);
  // Takes a sequence out, wherever it is, and frees its blocks. Null if the id is unknown.
  std::unique_ptr<Sequence> remove(uint64_t id);

  uint32_t running() const { return static_cast<uint32_t>(running_.size()); }
  uint32_t waiting() const { return static_cast<uint32_t>(waiting_.size()); }
  // All sequences, in no particular order.
  const std::unordered_map<uint64_t, std::unique_ptr<Sequence>>& sequences() const { return sequences_; }
  // How often a sequence gave up its blocks.
  uint64_t preemptions() const { return preemptions_; }
  const PrefixCache& prefix_cache() const { return cache_; }

 private:
  struct Outranks {
    bool operator()(const Sequence* a, const Sequence* b) const;
  };
  using Ranking = std::set<Sequence*, Outranks>;

  void plan_decodes(std::vector<Chunk>& chunks, uint32_t& budget);
  void plan_prompts(std::vector<Chunk>& chunks, uint32_t& budget, uint32_t& scored_rows);
  void admit(std::vector<Chunk>& chunks, uint32_t& budget, uint32_t& scored_rows);
  void add_prompt_chunk(Sequence& sequence, std::vector<Chunk>& chunks, uint32_t& budget, uint32_t& scored_rows);
  bool uses_cache(const Sequence& sequence) const;
  std::vector<uint32_t> cached_prefix(const Sequence& sequence) const;
  bool has_room_for(const Sequence& sequence, const std::vector<uint32_t>& prefix) const;
  void adopt(Sequence& sequence, std::vector<uint32_t> prefix);
  bool grow(Sequence& sequence, uint32_t tokens);
  void preempt(Sequence& sequence);
  void free_blocks(Sequence& sequence);

  const StepLimits limits_;
  PrefixCache cache_;
  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> sequences_;  // by id
  Ranking waiting_, running_;
  uint64_t arrivals_ = 0;
  uint64_t preemptions_ = 0;
};

}  // namespace polygraft
