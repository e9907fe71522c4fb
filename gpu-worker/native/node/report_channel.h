// The way of reports from the engine's thread to JavaScript: a double buffer and one callback for whatever is in it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "abi/engine.h"
#include "node/napi_api.h"

namespace polygraft::node {

// The engine's thread copies the events of each step into the buffer that JavaScript does not read, and asks once for a
// callback; when that runs, the buffers change places. If JavaScript is late, steps gather in one buffer; if that is
// full, the engine's thread waits. So memory is bounded and no event is lost.
//
// A buffer is an ArrayBuffer: kLoadBytes of pg_load as f64, kEvents pg_events, kAlternatives pg_alternatives.
class ReportChannel {
 public:
  static constexpr size_t kLoadFields = 10;
  static constexpr size_t kLoadBytes = 128;
  static constexpr size_t kEvents = 4096;
  static constexpr size_t kAlternatives = 16384;
  static constexpr size_t kEventsOffset = kLoadBytes;
  static constexpr size_t kAlternativesOffset = kEventsOffset + kEvents * sizeof(pg_event);
  static constexpr size_t kBufferBytes = kAlternativesOffset + kAlternatives * sizeof(pg_alternative);

  // On JavaScript's thread. `callback(buffer, events, alternatives)` reads `buffers[buffer]` before it returns.
  static std::shared_ptr<ReportChannel> open(Napi::Env env, Napi::Function callback);
  Napi::Array buffers() const;
  // A sequence was submitted: until its last event is handed over, the process stays alive. JavaScript's thread.
  void expect_end(Napi::Env env);
  // Drops what comes from now on and frees a waiting engine thread. The thread may go on using the channel.
  void close();
  // After `close`: lets the callback go. On JavaScript's thread.
  void release();

  // pg_on_report; `user` is the channel. On the engine's thread.
  static void on_report(void* user, const pg_report* report);

 private:
  static void call_js(Napi::Env env, Napi::Function callback, ReportChannel* channel, void*);
  using Callback = Napi::TypedThreadSafeFunction<ReportChannel, void, &ReportChannel::call_js>;

  struct Buffer {
    Napi::Reference<Napi::ArrayBuffer> array;
    unsigned char* data = nullptr;
    uint32_t events = 0, alternatives = 0;
  };

  void receive(const pg_report& report);
  void wait_for_room(std::unique_lock<std::mutex>& lock, uint32_t alternatives);
  void append(const pg_event& event, const pg_alternative* alternatives);
  void request_callback();
  void deliver(Napi::Env env, Napi::Function callback);
  void settle_ends(Napi::Env env, const Buffer& buffer);

  std::mutex mutex_;
  std::condition_variable room_;
  Buffer buffers_[2];
  int filling_ = 0;         // the buffer that the engine's thread writes
  bool requested_ = false;  // a callback is on its way
  bool closed_ = false;
  uint32_t live_ = 0;  // sequences whose end is expected; JavaScript's thread only
  Callback callback_;
};

// The fields of a load in the order of a report's buffer.
void write_load(const pg_load& load, double* out);

}  // namespace polygraft::node
