// Progress of a long phase whose work is spread over threads, told from one.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "model/error.h"
#include "model/loader.h"

namespace polygraft {

class Progress {
 public:
  // Reports go to `report` (may be empty) from the thread that makes this, and from no other.
  Progress(const LoadProgress& report, const char* phase, uint64_t total)
      : report_(report), phase_(phase), total_(total), owner_(std::this_thread::get_id()) {
    add(0);
  }

  // Throws Error(PG_CANCELLED) once the receiver wants to stop.
  void add(uint64_t bytes) {
    const uint64_t done = done_ += bytes;
    if (std::this_thread::get_id() == owner_) tell(done);
  }
  // Reports the end, whichever thread did the last piece.
  void finish() { tell(total_); }

 private:
  void tell(uint64_t done) {
    if (report_ && !report_(phase_, done, total_))
      throw Error(PG_CANCELLED, "", std::string("stopped in phase ") + phase_);
  }

  const LoadProgress& report_;
  const char* phase_;
  uint64_t total_;
  std::thread::id owner_;
  std::atomic<uint64_t> done_{0};
};

}  // namespace polygraft
