// Sequences with prompt to compute, and which of them is next.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>

#include "batch/fair_share.h"
#include "batch/sequence.h"

namespace polygraft {

// The order, from the most important:
// 1. the higher priority;
// 2. the tenant that had fewer tokens, then the adapter of it that had fewer, both in whole rounds of `quantum` tokens:
//    within a round nobody is behind, so what follows decides;
// 3. a prompt that is partly computed: to finish one is better than to begin two;
// 4. the tenant, then the adapter, that runs fewer sequences;
// 5. the earlier deadline, then the earlier arrival.
class PromptQueue {
 public:
  explicit PromptQueue(uint64_t quantum) : quantum_(quantum) {}

  // Does nothing for a sequence that is there.
  void insert(Sequence& sequence);
  void erase(Sequence& sequence);
  // The next one; null if there is none.
  Sequence* best() const;
  uint32_t size() const { return size_; }

  // Whether `a` goes before `b`, where each is the best of its queue.
  bool precedes(const Sequence& a, const Sequence& b) const;

 private:
  struct InLine {
    bool operator()(const Sequence* a, const Sequence* b) const;
  };
  using Line = std::set<Sequence*, InLine>;                   // of one adapter of one tenant
  using Tenant = std::map<const FairShare::Account*, Line>;   // by adapter
  using Class = std::map<const FairShare::Account*, Tenant>;  // of one priority, by tenant

  uint64_t round(const FairShare::Account* account) const { return account->served / quantum_; }
  Sequence* best_of(const Tenant& tenant) const;

  const uint64_t quantum_;
  std::map<int32_t, Class, std::greater<>> classes_;
  uint32_t size_ = 0;
};

}  // namespace polygraft
