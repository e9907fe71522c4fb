// What README.md of batch/ says about fairness, against the scheduler alone: steps are counted, not timed.
#include <algorithm>
#include <map>
#include <random>

#include "batch/scheduler.h"
#include "test/check.h"

using namespace polygraft;

namespace {

constexpr uint32_t kContext = 4096;

// A scheduler, and what a runner does with its plans. Times are steps.
class Simulation {
 public:
  Simulation(const StepLimits& limits, uint32_t blocks) : limits(limits), kv(blocks), scheduler(limits, kv) {}

  struct Wish {
    uint32_t prompt = 10, max_tokens = 10;
    std::string tenant = {}, adapter = {};
    int32_t priority = 0;
    uint64_t deadline = UINT64_MAX;
  };

  uint64_t add(const Wish& wish) {
    SequenceOptions options;
    options.id = ++ids_;
    options.prompt.resize(wish.prompt);
    for (uint32_t& token : options.prompt) token = ++tokens_;  // nothing to share
    options.max_tokens = wish.max_tokens;
    options.tenant = wish.tenant;
    options.priority = wish.priority;
    options.deadline = wish.deadline;
    if (!wish.adapter.empty()) {
      auto& adapter = adapters_[wish.adapter];
      if (!adapter) {
        auto content = std::make_shared<AdapterContent>(std::make_shared<ByteBudget>(0), 0);
        content->set_identity(wish.adapter, 0);
        adapter = std::make_shared<AttachedAdapter>(std::move(content));
      }
      options.adapter = adapter;
    }
    scheduler.add(std::make_unique<Sequence>(std::move(options), kContext));
    return ids_;
  }

  // One step. Counts tokens computed by tenant and by adapter, without what was computed before a preemption.
  std::vector<Chunk> step() {
    ++steps;
    const bool decodes = std::ranges::any_of(
        scheduler.sequences(), [](const auto& entry) { return entry.second->running && entry.second->pending() == 1; });
    const std::vector<Chunk> plan = scheduler.plan();
    CHECK(plan.size() <= limits.max_sequences);
    CHECK_EQ(plan.empty(), scheduler.sequences().empty());
    uint32_t tokens = 0, prompts = 0;
    for (const auto& [sequence, count] : plan) {
      tokens += count;
      if (sequence->pending() > 1) prompts += count;
      uint32_t& known = known_[sequence->options().id];
      const uint32_t end = sequence->computed + count;
      if (end > known) {
        served[sequence->options().tenant] += end - std::max(known, sequence->computed);
        served[sequence->adapter_identity()] += end - std::max(known, sequence->computed);
        known = end;
      }
    }
    CHECK(tokens <= limits.max_step_tokens);
    if (decodes) CHECK(prompts <= limits.max_prefill_tokens);
    std::vector<uint64_t> ended;
    for (const auto& [sequence, count] : plan) {
      const uint64_t id = sequence->options().id;
      scheduler.advance(*sequence, count);
      if (sequence->computed == sequence->size() && !sequence->finish()) {
        first_token.try_emplace(id, steps);
        sequence->append(++tokens_);
      }
      if (sequence->pending() == 0) ended.push_back(id);
    }
    for (const uint64_t id : ended) {
      scheduler.remove(id);
      ends[id] = steps;
    }
    return plan;
  }

  const StepLimits limits;
  KvAllocator kv;
  Scheduler scheduler;
  uint64_t steps = 0;
  std::map<uint64_t, uint64_t> first_token, ends;  // id -> step
  std::map<std::string, uint64_t> served;          // tenant or adapter -> tokens

 private:
  std::map<std::string, std::shared_ptr<AttachedAdapter>> adapters_;
  std::map<uint64_t, uint32_t> known_;  // id -> positions computed before
  uint64_t ids_ = 0;
  uint32_t tokens_ = 0;
};

// README.md: steps from the arrival of a prompt of `prompt` tokens, whose tenant or adapter is one of `flows` and has
// nothing else to do, to its first token.
uint64_t bound(const StepLimits& limits, uint64_t flows, uint64_t prompt) {
  const uint64_t room = limits.max_step_tokens - (limits.max_sequences - 1);
  const uint64_t rate = std::min<uint64_t>(limits.max_prefill_tokens, room);
  const uint64_t work = (flows - 1) * (prompt + limits.fair_quantum + limits.max_step_tokens) + prompt;
  return flows * (limits.patience + 1) + (work + rate - 1) / rate;
}

}  // namespace

TEST(a_hot_adapter_at_full_load_delays_a_cold_one_by_no_more_than_the_bound) {
  uint64_t arrivals = 0, late_without = 0;
  for (const bool fair : {true, false}) {
    for (uint32_t seed = 0; seed < 30; ++seed) {
      std::mt19937 random(seed);
      const auto up_to = [&](uint32_t most) { return 1 + static_cast<uint32_t>(random() % most); };
      const uint32_t hot = up_to(3);
      StepLimits limits;
      limits.max_sequences = 2 * hot + 2 + random() % 20;
      limits.max_step_tokens = limits.max_sequences + 16 + random() % 200;
      limits.max_prefill_tokens = 8 + random() % 120;
      limits.fair_quantum = 32 + random() % 300;
      limits.patience = random() % 10;
      Simulation simulation(limits, limits.max_sequences * 12);
      const bool tenants = random() % 2 == 0;
      uint64_t cold = 0, due = 0;
      for (int i = 0; i < 3000; ++i) {
        // The hot ones have more to do than they can ever get.
        while (simulation.scheduler.waiting() < 2 * limits.max_sequences) {
          const std::string name = fair ? "hot" + std::to_string(random() % hot) : "all";
          simulation.add({up_to(300), up_to(400), tenants ? name : "", tenants ? "" : name});
        }
        if (cold == 0 && i > 500 && random() % 50 == 0) {
          const uint32_t prompt = up_to(300);
          const std::string name = fair ? "cold" + std::to_string(arrivals) : "all";
          cold = simulation.add({prompt, 1, tenants ? name : "", tenants ? "" : name});
          due = simulation.steps + bound(limits, hot + 1, prompt);
          ++arrivals;
        }
        simulation.step();
        if (cold == 0) continue;
        const bool late = simulation.steps > due;
        if (late && fair) {
          check::fail(__FILE__, __LINE__, "seed " + check::show(seed) + ": a cold adapter is late");
          break;
        }
        if (late) ++late_without;
        if (late || simulation.first_token.contains(cold)) cold = 0;
      }
    }
  }
  CHECK(arrivals > 500);
  CHECK(late_without > 100);  // arrival order alone does not keep the bound
}

TEST(a_prompt_adds_no_more_than_its_bound_to_a_step_in_which_others_decode) {
  Simulation simulation({.max_sequences = 4, .max_step_tokens = 512, .max_prefill_tokens = 100}, 100);
  const uint64_t decoding = simulation.add({10, 100});
  simulation.step();
  const uint64_t prompt = simulation.add({1000, 5});
  for (int i = 0; i < 10; ++i) {
    const auto plan = simulation.step();
    CHECK_EQ(plan.size(), 2u);
    CHECK_EQ(plan[0].count, 1u);  // decoding goes on in every step
  }
  CHECK_EQ(simulation.first_token.at(prompt), 11u);
  CHECK_EQ(simulation.scheduler.sequences().at(decoding)->output_count(), 11u);
}

TEST(tenants_share_alike_however_many_adapters_and_requests_they_have) {
  Simulation simulation({.max_sequences = 9, .max_step_tokens = 100, .max_prefill_tokens = 40}, 200);
  std::mt19937 random(3);
  for (int i = 0; i < 6000; ++i) {
    while (simulation.scheduler.waiting() < 40) {
      simulation.add({10 + static_cast<uint32_t>(random() % 100), 50, "many", "m" + std::to_string(random() % 6)});
      simulation.add({10 + static_cast<uint32_t>(random() % 100), 50, "few", random() % 8 == 0 ? "f0" : "f1"});
    }
    simulation.step();
  }
  const double ratio = static_cast<double>(simulation.served["many"]) / static_cast<double>(simulation.served["few"]);
  CHECK(ratio > 0.95 && ratio < 1.05);
  for (int i = 1; i < 6; ++i) {
    const double share =
        static_cast<double>(simulation.served["m" + std::to_string(i)]) / static_cast<double>(simulation.served["m0"]);
    CHECK(share > 0.9 && share < 1.1);
  }
}

TEST(more_adapters_than_slots_take_turns) {
  Simulation simulation({.max_sequences = 2, .max_step_tokens = 64, .fair_quantum = 40}, 400);
  std::map<uint64_t, std::string> all;
  for (int i = 0; i < 6; ++i) all[simulation.add({20, 2000, "", "a" + std::to_string(i)})] = "a" + std::to_string(i);
  for (int i = 0; i < 1200; ++i) simulation.step();
  for (const auto& [id, adapter] : all) {
    CHECK(simulation.served[adapter] > 300 && simulation.served[adapter] < 500);
  }
  // A turn is a quantum: what is computed again stays small against what is new.
  CHECK(simulation.scheduler.preemptions() > 20);
  CHECK(simulation.scheduler.preemptions() < 2 * 1200 / 40 + 10);
}

TEST(nobody_gives_way_while_there_is_room) {
  Simulation simulation({.max_sequences = 8, .max_step_tokens = 64}, 200);
  for (int i = 0; i < 7; ++i) simulation.add({20, 300, "", "hot"});
  for (int i = 0; i < 20; ++i) simulation.step();
  const uint64_t cold = simulation.add({20, 5, "", "cold"});
  while (!simulation.ends.contains(cold)) simulation.step();
  CHECK_EQ(simulation.scheduler.preemptions(), 0u);
}

TEST(the_slot_of_one_that_ends_soon_is_waited_for) {
  Simulation simulation({.max_sequences = 4, .max_step_tokens = 64, .patience = 8}, 200);
  for (int i = 0; i < 4; ++i) simulation.add({10, i == 0 ? 12u : 300u, "", "hot"});
  for (int i = 0; i < 8; ++i) simulation.step();
  const uint64_t cold = simulation.add({10, 5, "", "cold"}), later = simulation.add({10, 5, "", "hot"});
  while (!simulation.ends.contains(cold)) simulation.step();
  CHECK_EQ(simulation.scheduler.preemptions(), 0u);
  CHECK(!simulation.first_token.contains(later) || simulation.first_token[later] > simulation.first_token[cold]);
}

TEST(within_an_adapter_the_earliest_deadline_goes_first) {
  Simulation simulation({.max_sequences = 1, .max_step_tokens = 64}, 100);
  const uint64_t running = simulation.add({10, 3});
  simulation.step();
  const uint64_t none = simulation.add({10, 2});
  const uint64_t late = simulation.add({10, 2, "", "", 0, 900}), soon = simulation.add({10, 2, "", "", 0, 500});
  const uint64_t urgent = simulation.add({10, 2, "", "", 1, 950});
  while (!simulation.scheduler.sequences().empty()) simulation.step();
  const auto& first = simulation.first_token;
  CHECK(first.at(running) < first.at(urgent) && first.at(urgent) < first.at(soon));
  CHECK(first.at(soon) < first.at(late) && first.at(late) < first.at(none));
}

TEST(deadlines_are_no_way_around_fair_shares) {
  Simulation simulation({.max_sequences = 4, .max_step_tokens = 40, .max_prefill_tokens = 20, .fair_quantum = 64}, 100);
  const auto hurry = [&] {
    while (simulation.scheduler.waiting() < 8) simulation.add({60, 30, "pushy", "", 0, simulation.steps});
  };
  for (int i = 0; i < 200; ++i) hurry(), simulation.step();
  const uint64_t calm = simulation.add({60, 1, "calm"});
  const uint64_t due = simulation.steps + bound(simulation.limits, 2, 60);
  while (!simulation.ends.contains(calm) && simulation.steps <= due) hurry(), simulation.step();
  CHECK(simulation.ends.contains(calm));
}

TEST(rest_earns_no_credit_and_wipes_out_no_debt) {
  FairShare share;
  FairShare::Account& busy = share.enter("busy", "x");
  share.charge(busy, 1000);
  FairShare::Account& fresh = share.enter("fresh", "");
  CHECK_EQ(fresh.parent->served, 1000u);  // begins where the others are
  share.charge(fresh, 500);
  share.leave(fresh);
  CHECK_EQ(share.enter("fresh", "").parent->served, 1500u);  // what it had is remembered
  share.charge(busy, 9000);
  FairShare::Account& again = share.enter("fresh", "");
  share.leave(again);
  share.leave(again);
  CHECK_EQ(share.enter("fresh", "").parent->served, 10000u);
}

TEST(accounts_of_those_who_left_do_not_pile_up) {
  FairShare share;
  FairShare::Account& steady = share.enter("steady", "");
  for (int i = 0; i < 5000; ++i) {
    FairShare::Account& guest = share.enter("guest" + std::to_string(i), "a");
    share.charge(guest, 10 + i % 7);
    share.leave(guest);
  }
  CHECK(share.size() < 1100);
  share.leave(steady);
  CHECK_EQ(share.size(), 0u);
}

TEST(a_higher_priority_makes_a_lower_one_give_way) {
  Simulation simulation({.max_sequences = 2, .max_step_tokens = 64, .patience = 3}, 100);
  for (int i = 0; i < 2; ++i) simulation.add({10, 500});
  for (int i = 0; i < 5; ++i) simulation.step();
  const uint64_t urgent = simulation.add({10, 2, "", "", 1});
  for (int i = 0; i < 5; ++i) simulation.step();
  CHECK(simulation.first_token.contains(urgent));
  while (!simulation.scheduler.sequences().empty()) simulation.step();
  CHECK_EQ(simulation.ends.size(), 3u);
}

// Too few blocks and slots for too many tenants and adapters of all priorities: everybody ends, and no block is lost.
TEST(random_traces_lose_nobody) {
  uint64_t preemptions = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto up_to = [&](uint32_t most) { return 1 + static_cast<uint32_t>(random() % most); };
    StepLimits limits;
    limits.max_sequences = up_to(10);
    limits.max_step_tokens = limits.max_sequences + random() % 200;
    limits.max_prefill_tokens = up_to(150);
    limits.max_scored_rows = up_to(30);
    limits.fair_quantum = up_to(400);
    limits.patience = random() % 10;
    limits.prefix_cache = random() % 2 == 0;
    Simulation simulation(limits, 8 + random() % 30);
    const uint32_t fits = simulation.kv.capacity() * kKvBlockTokens;
    uint32_t added = 0;
    while (added < 60 || !simulation.scheduler.sequences().empty()) {
      if (added < 60 && random() % 3 == 0) {
        const uint32_t prompt = up_to(std::min(fits - 1, 400u));
        simulation.add({prompt, up_to(std::min(fits - prompt, 200u)), "t" + std::to_string(random() % 3),
                        random() % 3 == 0 ? "" : "a" + std::to_string(random() % 4), static_cast<int32_t>(random() % 2),
                        random() % 2 == 0 ? random() % 1000 : UINT64_MAX});
        ++added;
      }
      simulation.step();
      REQUIRE(simulation.steps < 100000);
      REQUIRE(check::failures() == 0);
    }
    CHECK_EQ(simulation.ends.size(), 60u);
    CHECK_EQ(simulation.scheduler.prefix_cache().held(), 0u);
    CHECK_EQ(simulation.scheduler.fair_share().size(), 0u);
    preemptions += simulation.scheduler.preemptions();
  }
  CHECK(preemptions > 100);
}
