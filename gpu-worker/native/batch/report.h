// What a step tells the host.
#pragma once

#include <span>
#include <vector>

#include "abi/engine.h"

namespace polygraft {

// The events of one step, in the order in which they happened to each sequence.
struct Report {
  std::vector<pg_event> events;
  std::vector<pg_alternative> alternatives;
  pg_load load{};

  void clear() {
    events.clear();
    alternatives.clear();
  }

  void started(uint64_t id, uint32_t cached_tokens) { add(id, PG_EVENT_STARTED, cached_tokens); }
  void replaced(uint64_t id, uint32_t slot) { add(id, PG_EVENT_REPLACED, slot); }
  void finished(uint64_t id, pg_finish reason) { add(id, PG_EVENT_FINISHED, reason); }
  void failed(uint64_t id, pg_code code) { add(id, PG_EVENT_FAILED, code); }
  // `kind`: PG_EVENT_PROMPT_SCORE or PG_EVENT_TOKEN. Its alternatives are those appended since `first_alternative`.
  void token(uint64_t id, pg_event_kind kind, uint32_t token, float logprob, uint32_t first_alternative) {
    pg_event& event = add(id, kind, 0);
    event.token = token;
    event.logprob = logprob;
    event.alternatives = static_cast<uint32_t>(alternatives.size()) - first_alternative;
    event.first_alternative = first_alternative;
  }

 private:
  pg_event& add(uint64_t id, pg_event_kind kind, uint32_t value) {
    pg_event& event = events.emplace_back();
    event.id = id;
    event.kind = kind;
    event.value = value;
    return event;
  }
};

}  // namespace polygraft
