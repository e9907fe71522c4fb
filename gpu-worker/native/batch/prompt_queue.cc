#include "batch/prompt_queue.h"

namespace polygraft {

bool PromptQueue::InLine::operator()(const Sequence* a, const Sequence* b) const {
  if (a->options().deadline != b->options().deadline) return a->options().deadline < b->options().deadline;
  return a->arrival < b->arrival;
}

void PromptQueue::insert(Sequence& sequence) {
  const auto* account = sequence.account;
  if (classes_[sequence.options().priority][account->parent][account].insert(&sequence).second) ++size_;
}

void PromptQueue::erase(Sequence& sequence) {
  const auto in_class = classes_.find(sequence.options().priority);
  if (in_class == classes_.end()) return;
  const auto of_tenant = in_class->second.find(sequence.account->parent);
  if (of_tenant == in_class->second.end()) return;
  const auto line = of_tenant->second.find(sequence.account);
  if (line == of_tenant->second.end() || line->second.erase(&sequence) == 0) return;
  --size_;
  if (line->second.empty()) of_tenant->second.erase(line);
  if (of_tenant->second.empty()) in_class->second.erase(of_tenant);
  if (in_class->second.empty()) classes_.erase(in_class);
}

Sequence* PromptQueue::best() const {
  if (classes_.empty()) return nullptr;
  Sequence* best = nullptr;
  for (const auto& [account, tenant] : classes_.begin()->second) {
    Sequence* const candidate = best_of(tenant);
    if (best == nullptr || precedes(*candidate, *best)) best = candidate;
  }
  return best;
}

Sequence* PromptQueue::best_of(const Tenant& tenant) const {
  Sequence* best = nullptr;
  for (const auto& [account, line] : tenant) {
    if (best == nullptr || precedes(**line.begin(), *best)) best = *line.begin();
  }
  return best;
}

bool PromptQueue::precedes(const Sequence& a, const Sequence& b) const {
  if (a.options().priority != b.options().priority) return a.options().priority > b.options().priority;
  const FairShare::Account *mine = a.account, *other = b.account;
  if (mine->parent != other->parent) mine = mine->parent, other = other->parent;
  if (round(mine) != round(other)) return round(mine) < round(other);
  if (a.running != b.running) return a.running;
  if (mine->running != other->running) return mine->running < other->running;
  return InLine()(&a, &b);
}

}  // namespace polygraft
