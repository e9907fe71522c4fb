#include "batch/fair_share.h"

#include <algorithm>
#include <limits>

namespace polygraft {
namespace {

// Idle accounts that are kept for what they had. Beyond that the one that had least is forgotten.
constexpr size_t kMaxIdle = 1024;

}  // namespace

FairShare::Account& FairShare::enter(const std::string& tenant, const std::string& adapter) {
  Account& account = child(child(root_, tenant), adapter);
  for (Account* a = &account; a != nullptr; a = a->parent) ++a->live;
  return account;
}

void FairShare::leave(Account& account) {
  Account* const tenant = account.parent;
  for (Account* a = &account; a != nullptr; a = a->parent) --a->live;
  forget_idle(*tenant);  // may end `account`
  forget_idle(root_);
}

void FairShare::charge(Account& account, uint32_t tokens) {
  account.served += tokens;
  account.parent->served += tokens;
}

size_t FairShare::size() const {
  size_t all = root_.children.size();
  for (const auto& [name, tenant] : root_.children) all += tenant.children.size();
  return all;
}

FairShare::Account& FairShare::child(Account& parent, const std::string& name) {
  Account& account = parent.children[name];
  if (account.live == 0) {
    account.name = name;
    account.parent = &parent;
    if (parent.live > 0) account.served = std::max(account.served, least_served(parent));
  }
  return account;
}

// Without living siblings there is nobody to be fair to; an account that had no more than they did would begin anew
// where it is.
void FairShare::forget_idle(Account& parent) {
  if (parent.live == 0) return parent.children.clear();
  const uint64_t least = least_served(parent);
  std::erase_if(parent.children,
                [least](const auto& entry) { return entry.second.live == 0 && entry.second.served <= least; });
  const auto less = [](const auto& a, const auto& b) {
    if ((a.second.live == 0) != (b.second.live == 0)) return a.second.live == 0;
    return a.second.served < b.second.served;
  };
  const auto idle = [](const auto& entry) { return entry.second.live == 0; };
  while (parent.children.size() > kMaxIdle &&
         static_cast<size_t>(std::ranges::count_if(parent.children, idle)) > kMaxIdle) {
    parent.children.erase(std::min_element(parent.children.begin(), parent.children.end(), less));
  }
}

uint64_t FairShare::least_served(const Account& parent) {
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (const auto& [name, account] : parent.children) {
    if (account.live > 0) least = std::min(least, account.served);
  }
  return least;
}

void FairShare::move_running(Account& account, int by) {
  account.running += static_cast<uint32_t>(by);
  account.parent->running += static_cast<uint32_t>(by);
}

}  // namespace polygraft
