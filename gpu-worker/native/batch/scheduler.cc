#include "batch/scheduler.h"

#include <algorithm>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "model/backend.h"
#include "model/error.h"

namespace polygraft {
namespace {

uint32_t blocks_for(uint32_t tokens) { return tokens / kKvBlockTokens + (tokens % kKvBlockTokens != 0 ? 1 : 0); }

}  // namespace

Scheduler::Scheduler(const StepLimits& limits, KvAllocator& kv)
    : limits_(limits), cache_(kv), waiting_(limits.fair_quantum), partials_(limits.fair_quantum) {}

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
  added->account = &share_.enter(added->options().tenant, added->adapter_identity());
  if (added->is_parked()) ++off_device_;
  wait(*added);
}

// Puts a sequence without slot and blocks in line, unless it cannot be computed anyway.
void Scheduler::wait(Sequence& sequence) {
  if (sequence.is_parked()) {
    parked_.insert(&sequence);
  } else {
    waiting_.insert(sequence);
  }
}

void Scheduler::follow_adapters() {
  for (const auto& [id, sequence] : sequences_) {
    const bool was_parked = sequence->is_parked();
    sequence->replaced |= sequence->follow();
    if (sequence->is_parked() == was_parked) continue;
    was_parked ? --off_device_ : ++off_device_;
    if (sequence->running) continue;
    if (was_parked) {
      parked_.erase(sequence.get());
    } else {
      waiting_.erase(*sequence);
    }
    wait(*sequence);
  }
}

std::unique_ptr<Sequence> Scheduler::remove(uint64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return nullptr;
  std::unique_ptr<Sequence> sequence = std::move(found->second);
  sequences_.erase(found);
  if (sequence->is_parked()) --off_device_;
  if (sequence->running) {
    stop(*sequence);
  } else {
    waiting_.erase(*sequence);
    parked_.erase(sequence.get());
  }
  share_.leave(*std::exchange(sequence->account, nullptr));
  return sequence;
}

std::vector<Chunk> Scheduler::plan() {
  chunks_.clear();
  follow_adapters();
  budget_ = {.tokens = limits_.max_step_tokens, .scored_rows = limits_.max_scored_rows};
  const bool short_of_blocks = !plan_decodes();
  budget_.prompt_tokens = chunks_.empty() ? budget_.tokens : std::min(budget_.tokens, limits_.max_prefill_tokens);
  plan_prompts(short_of_blocks);
  while (chunks_.empty() && waiting_.size() > 0 && preempt_parked()) plan_prompts(false);
  return std::move(chunks_);
}

// Without a step to take nobody's patience ends: the last parked sequence gives its room to those that can be computed.
bool Scheduler::preempt_parked() {
  for (auto sequence = running_.rbegin(); sequence != running_.rend(); ++sequence) {
    if (!(*sequence)->is_parked()) continue;
    preempt(**sequence);
    return true;
  }
  return false;
}

// False if blocks were short.
bool Scheduler::plan_decodes() {
  const uint64_t preempted_before = preemptions_;
  std::vector<Sequence*> decoding;
  for (Sequence* sequence : running_) {
    if (sequence->is_parked()) {
      partials_.erase(*sequence);
    } else if (sequence->pending() == 1) {
      decoding.push_back(sequence);
    } else if (sequence->pending() > 1) {
      partials_.insert(*sequence);
    }
  }
  for (Sequence* sequence : decoding) {
    if (sequence->running) grow(*sequence, sequence->computed + 1);
  }
  for (Sequence* sequence : decoding) {
    if (sequence->running) plan_chunk(*sequence, 1);
  }
  return preemptions_ == preempted_before;
}

void Scheduler::plan_prompts(bool short_of_blocks) {
  bool closed = false;  // the next in line cannot come in, so nobody does
  while (budget_.prompt_tokens > 0) {
    Sequence* next = partials_.best();
    Sequence* const waiting = closed ? nullptr : waiting_.best();
    if (waiting != nullptr && (next == nullptr || waiting_.precedes(*waiting, *next))) {
      closed = !admit(*waiting, short_of_blocks);
      if (closed) continue;
      next = waiting;
    }
    if (next == nullptr) return;
    partials_.erase(*next);  // it is back before the next step, if anything is left of it
    const uint32_t count = prompt_chunk(*next, budget_.scored_rows);
    if (count == 0) continue;
    plan_chunk(*next, count);
    budget_.prompt_tokens -= std::min(count, budget_.prompt_tokens);
  }
}

void Scheduler::plan_chunk(Sequence& sequence, uint32_t count) {
  chunks_.push_back({&sequence, count});
  budget_.tokens -= count;
  const uint32_t end = sequence.computed + count;
  const uint32_t paid = std::max(sequence.charged, sequence.computed);
  if (end <= paid) return;
  share_.charge(*sequence.account, end - paid);
  sequence.charged = end;
}

uint32_t Scheduler::prompt_chunk(const Sequence& sequence, uint32_t& scored_rows) const {
  const uint32_t most = std::min(budget_.prompt_tokens, sequence.pending());
  uint32_t count = 0;
  uint32_t rows = 0;
  while (count < most) {
    if (sequence.scores_at(sequence.computed + count) && rows++ == scored_rows) break;
    ++count;
  }
  scored_rows -= std::min(rows, scored_rows);
  return count;
}

// Gives the next in line a slot and blocks for all its tokens. `short_of_blocks`: some were short a moment ago, so that
// whoever is let in now would be the next to give them up.
bool Scheduler::admit(Sequence& sequence, bool short_of_blocks) {
  std::vector<uint32_t> prefix = cached_prefix(sequence);
  if (short_of_blocks || !has_room_for(sequence, prefix)) {
    if (sequence.blocked_steps++ < limits_.patience || !make_room_for(sequence, prefix)) return false;
  }
  waiting_.erase(sequence);
  start(sequence);
  adopt(sequence, std::move(prefix));
  return grow(sequence, sequence.target());
}

// Whether there would be a slot and blocks if the running sequences `without` were gone: blocks for all of its tokens,
// and one to grow for each running sequence that may need another. Blocks of the prefix are there, but those that are
// idle would be idle no more.
bool Scheduler::has_room_for(const Sequence& sequence, const std::vector<uint32_t>& prefix,
                             const std::vector<Sequence*>& without) const {
  if (running_.size() - without.size() >= limits_.max_sequences) return false;
  const auto can_grow = [](const Sequence* other) { return blocks_for(other->final_size()) > other->blocks.size(); };
  auto wanted = blocks_for(sequence.target()) + std::ranges::count_if(running_, can_grow) -
                std::ranges::count_if(without, can_grow);
  for (const Sequence* other : without) {
    wanted -= std::ranges::count_if(other->blocks, [this, &prefix](uint32_t block) {
      return cache_.sequences(block) == 1 && std::ranges::find(prefix, block) == prefix.end();
    });
  }
  const auto shared = std::ranges::count_if(prefix, [this](uint32_t block) { return !cache_.is_idle(block); });
  return wanted <= static_cast<int64_t>(cache_.available()) + shared;
}

// Preempts sequences that hold more than their share, if that is enough; nobody if it is not.
bool Scheduler::make_room_for(const Sequence& sequence, const std::vector<uint32_t>& prefix) {
  std::vector<Sequence*> leaving;
  bool enough = has_room_for(sequence, prefix);
  while (!enough) {
    Sequence* const next = most_served(leaving);
    if (next == nullptr || !has_more_than_its_share(*next, sequence)) break;
    leaving.push_back(next);
    share_.remove_running(*next->account);
    enough = has_room_for(sequence, prefix, leaving);
  }
  for (const Sequence* other : leaving) share_.add_running(*other->account);
  if (!enough) return false;
  for (Sequence* other : leaving) preempt(*other);
  return has_room_for(sequence, prefix);
}

// Whether a running sequence should give way to one that waits: to one of higher priority, or to one whose tenant, or
// within a tenant whose adapter, would still run no more sequences than its own. With as many as that, or one each for
// more than there are slots, they take turns of a quantum.
bool Scheduler::has_more_than_its_share(const Sequence& sequence, const Sequence& than) const {
  if (sequence.options().priority != than.options().priority) {
    return sequence.options().priority < than.options().priority;
  }
  const FairShare::Account *mine = sequence.account, *other = than.account;
  if (mine == other) return false;
  if (mine->parent != other->parent) mine = mine->parent, other = other->parent;
  if (mine->running >= other->running + 2) return true;
  return mine->running > other->running && mine->served >= other->served + limits_.fair_quantum;
}

// The running sequence that is the first to give way: of the lowest priority, of the tenant that runs most of them, of
// its adapter that runs most of them, the last to arrive. Where two run as many, the one that was served more.
Sequence* Scheduler::most_served(const std::vector<Sequence*>& without) const {
  const auto claim = [](const Sequence* s) {
    const FairShare::Account &adapter = *s->account, &tenant = *adapter.parent;
    return std::tuple(-int64_t{s->options().priority}, tenant.running, tenant.served, adapter.running, adapter.served,
                      s->arrival);
  };
  Sequence* most = nullptr;
  for (Sequence* sequence : running_) {
    if (std::ranges::find(without, sequence) != without.end()) continue;
    if (most == nullptr || claim(sequence) > claim(most)) most = sequence;
  }
  return most;
}

void Scheduler::advance(Sequence& sequence, uint32_t count) {
  sequence.computed += count;
  if (!uses_cache(sequence)) return;
  const std::span<const uint32_t> tokens = sequence.tokens();
  const std::span<const uint32_t> blocks = sequence.blocks;
  while (sequence.computed / kKvBlockTokens > sequence.cached_blocks) {
    const uint32_t last = sequence.cached_blocks++;
    sequence.blocks[last] =
        cache_.insert(sequence.cache_scope(), tokens.first(size_t{last + 1} * kKvBlockTokens), blocks.first(last + 1));
  }
}

bool Scheduler::uses_cache(const Sequence& sequence) const {
  return limits_.prefix_cache && !sequence.options().cache_bypass && sequence.is_pure();
}

std::vector<uint32_t> Scheduler::cached_prefix(const Sequence& sequence) const {
  if (!uses_cache(sequence)) return {};
  return cache_.find(sequence.cache_scope(), std::span(sequence.tokens()).first(sequence.skippable()));
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
    Sequence& first = *most_served();
    preempt(first);
    if (&first == &sequence) return false;
  }
  return true;
}

void Scheduler::start(Sequence& sequence) {
  sequence.running = true;
  sequence.blocked_steps = 0;
  running_.insert(&sequence);
  share_.add_running(*sequence.account);
}

void Scheduler::stop(Sequence& sequence) {
  sequence.running = false;
  running_.erase(&sequence);
  partials_.erase(sequence);
  share_.remove_running(*sequence.account);
  cache_.release(sequence.blocks);
  sequence.blocks.clear();
  sequence.cached_blocks = 0;
}

// Its tokens stay, its keys and values go: they are computed again, or found in the prefix cache.
void Scheduler::preempt(Sequence& sequence) {
  ++preemptions_;
  stop(sequence);
  sequence.forget_computed();
  std::erase_if(chunks_, [this, &sequence](const Chunk& chunk) {
    if (chunk.sequence != &sequence) return false;
    budget_.tokens += chunk.count;
    return true;
  });
  wait(sequence);
}

}  // namespace polygraft
