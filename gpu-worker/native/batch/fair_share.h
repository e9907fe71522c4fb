// Who has been served how much: tenants against each other, and within a tenant its adapters.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace polygraft {

// Counts the tokens computed for each tenant and for each of its adapters, so that whoever had least goes first
// (virtual token counters: Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024).
//
// Nobody saves up: an account that comes to life begins where the one that had least among its living siblings is.
// Nobody runs from what it had: an account that had more than that keeps its count while a sibling lives. Not
// thread-safe: the step loop owns it.
class FairShare {
 public:
  // A tenant, or an adapter of one. Valid while it has a living sequence.
  struct Account {
    std::string name;
    Account* parent = nullptr;  // of an adapter its tenant, of a tenant the root
    uint64_t served = 0;        // tokens computed, and the head start
    uint32_t live = 0;          // sequences that run or wait
    uint32_t running = 0;
    std::map<std::string, Account> children;
  };

  // The account of an adapter ("": the base) of a tenant, for one more living sequence.
  Account& enter(const std::string& tenant, const std::string& adapter);
  // That sequence has ended.
  void leave(Account& account);
  // So many tokens are computed for it.
  void charge(Account& account, uint32_t tokens);
  // One of its sequences begins, or ceases, to run.
  void add_running(Account& account) { move_running(account, 1); }
  void remove_running(Account& account) { move_running(account, -1); }

  // Accounts held, living or not.
  size_t size() const;

 private:
  static Account& child(Account& parent, const std::string& name);
  static void forget_idle(Account& parent);
  static uint64_t least_served(const Account& parent);
  void move_running(Account& account, int by);

  Account root_;
};

}  // namespace polygraft
