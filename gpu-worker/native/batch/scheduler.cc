#include "batch/scheduler.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "model/backend.h"
#include "model/error.h"

namespace polygraft {
namespace {

uint32_t blocks_for(uint32_t tokens) { return tokens / kKvBlockTokens + (tokens % kKvBlockTokens != 0 ? 1 : 0); }

}  // namespace

bool Scheduler::Outranks::operator()(const Sequence* a, const Sequence* b) const {
  if (a->options().priority != b->options().priority) return a->options().priority > b->options().priority;
  return a->arrival < b->arrival;
}

Scheduler::Scheduler(const StepLimits& limits, KvAllocator& kv) : limits_(limits), cache_(kv) {}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  if (blocks_for(sequence->final_size()) > cache_.capacity()) {
    throw Error(PG_INVALID_ARGUMENT, "prompt",
                "prompt and output can take " + std::to_string(sequence->final_size()) +
                    " tokens, the KV blocks hold " + std::to_string(uint64_t{cache_.capacity()} * kKvBlockTokens));
  }
  Sequence* const added = sequence.get();
  const uint64_t id = added->options().id;
  if (!sequences_.try_emplace(id, std::move(sequence)).second) {
    throw Error(PG_INVALID_ARGUMENT, "id", "a sequence of this id is already there");
  }
  added->arrival = ++arrivals_;
  waiting_.insert(added);
}

std::unique_ptr<Sequence> Scheduler::remove(uint64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return nullptr;
  std::unique_ptr<Sequence> sequence = std::move(found->second);
  sequences_.erase(found);
  waiting_.erase(sequence.get());
  running_.erase(sequence.get());
  free_blocks(*sequence);
  return sequence;
}

std::vector<Chunk> Scheduler::plan() {
  std::vector<Chunk> chunks;
  uint32_t budget = limits_.max_step_tokens;
  uint32_t scored_rows = limits_.max_scored_rows;
  const uint64_t preempted_before = preemptions_;
  plan_decodes(chunks, budget);
  plan_prompts(chunks, budget, scored_rows);
  // Blocks were short a moment ago: whoever is let in now would be the next to give them up.
  if (preemptions_ == preempted_before) admit(chunks, budget, scored_rows);
  return chunks;
}

void Scheduler::plan_decodes(std::vector<Chunk>& chunks, uint32_t& budget) {
  // By rank, so that whoever is preempted has not been planned yet.
  const std::vector<Sequence*> by_rank(running_.begin(), running_.end());
  for (Sequence* sequence : by_rank) {
    if (!running_.contains(sequence) || sequence->pending() != 1) continue;
    if (budget == 0 || !grow(*sequence, sequence->computed + 1)) return;
    chunks.push_back({sequence, 1});
    --budget;
  }
}

void Scheduler::plan_prompts(std::vector<Chunk>& chunks, uint32_t& budget, uint32_t& scored_rows) {
  for (Sequence* sequence : running_) {
    if (budget == 0) return;
    if (sequence->pending() > 1) add_prompt_chunk(*sequence, chunks, budget, scored_rows);
  }
}

void Scheduler::admit(std::vector<Chunk>& chunks, uint32_t& budget, uint32_t& scored_rows) {
  while (budget > 0 && !waiting_.empty() && running_.size() < limits_.max_sequences) {
    Sequence& next = **waiting_.begin();
    std::vector<uint32_t> prefix = cached_prefix(next);
    if (!has_room_for(next, prefix)) return;
    waiting_.erase(&next);
    running_.insert(&next);
    adopt(next, std::move(prefix));
    grow(next, next.target());
    add_prompt_chunk(next, chunks, budget, scored_rows);
  }
}

void Scheduler::add_prompt_chunk(Sequence& sequence, std::vector<Chunk>& chunks, uint32_t& budget,
                                 uint32_t& scored_rows) {
  const uint32_t most = std::min(budget, sequence.pending());
  uint32_t count = 0;
  uint32_t rows = 0;
  while (count < most) {
    if (sequence.scores_at(sequence.computed + count) && rows++ == scored_rows) break;
    ++count;
  }
  if (count == 0) return;
  chunks.push_back({&sequence, count});
  budget -= count;
  scored_rows -= std::min(rows, scored_rows);
}

void Scheduler::advance(Sequence& sequence, uint32_t count) {
  sequence.computed += count;
  if (!uses_cache(sequence)) return;
  const std::span<const uint32_t> tokens = sequence.tokens();
  const std::span<const uint32_t> blocks = sequence.blocks;
  while (sequence.computed / kKvBlockTokens > sequence.cached_blocks) {
    const uint32_t last = sequence.cached_blocks++;
    sequence.blocks[last] = cache_.insert(sequence.cache_scope(), tokens.first(size_t{last + 1} * kKvBlockTokens),
                                          blocks.first(last + 1));
  }
}

bool Scheduler::uses_cache(const Sequence& sequence) const {
  return limits_.prefix_cache && !sequence.options().cache_bypass;
}

std::vector<uint32_t> Scheduler::cached_prefix(const Sequence& sequence) const {
  if (!uses_cache(sequence)) return {};
  return cache_.find(sequence.cache_scope(), std::span(sequence.tokens()).first(sequence.skippable()));
}

// Blocks for all its tokens, and one to grow for each running sequence that may need another. Those of the prefix are
// there, but those that are idle would be idle no more.
bool Scheduler::has_room_for(const Sequence& sequence, const std::vector<uint32_t>& prefix) const {
  const auto growing = std::count_if(running_.begin(), running_.end(), [](const Sequence* other) {
    return blocks_for(other->final_size()) > other->blocks.size();
  });
  const auto shared =
      std::count_if(prefix.begin(), prefix.end(), [this](uint32_t block) { return !cache_.is_idle(block); });
  return uint64_t{blocks_for(sequence.target())} + static_cast<uint64_t>(growing) <=
         cache_.available() + static_cast<uint64_t>(shared);
}

// Begins with cached keys and values.
void Scheduler::adopt(Sequence& sequence, std::vector<uint32_t> prefix) {
  for (const uint32_t block : prefix) cache_.retain(block);
  sequence.cached_blocks = static_cast<uint32_t>(prefix.size());
  sequence.computed = sequence.cached_blocks * kKvBlockTokens;
  sequence.blocks = std::move(prefix);
  if (!sequence.started) sequence.cached_tokens = std::min(sequence.computed, sequence.input_count());
}

// Gives a running sequence blocks for `tokens` positions; false if it was itself preempted for lack of them.
bool Scheduler::grow(Sequence& sequence, uint32_t tokens) {
  while (sequence.blocks.size() < blocks_for(tokens)) {
    if (const auto block = cache_.allocate()) {
      sequence.blocks.push_back(*block);
      continue;
    }
    Sequence& lowest = **running_.rbegin();
    preempt(lowest);
    if (&lowest == &sequence) return false;
  }
  return true;
}

void Scheduler::preempt(Sequence& sequence) {
  ++preemptions_;
  running_.erase(&sequence);
  free_blocks(sequence);
  sequence.computed = 0;
  waiting_.insert(&sequence);  // by its rank, so ahead of all who came later
}

void Scheduler::free_blocks(Sequence& sequence) {
  cache_.release(sequence.blocks);
  sequence.blocks.clear();
  sequence.cached_blocks = 0;
}

}  // namespace polygraft
