#include "node/report_channel.h"

#include <cstring>

namespace polygraft::node {

void write_load(const pg_load& load, double* out) {
  const double fields[ReportChannel::kLoadFields] = {static_cast<double>(load.steps),
                                                     static_cast<double>(load.step_micros),
                                                     static_cast<double>(load.step_tokens),
                                                     static_cast<double>(load.running),
                                                     static_cast<double>(load.waiting),
                                                     static_cast<double>(load.waiting_tokens),
                                                     static_cast<double>(load.in_flight_tokens),
                                                     static_cast<double>(load.kv_blocks_used),
                                                     static_cast<double>(load.adapter_bytes_used),
                                                     static_cast<double>(load.kv_blocks_cached)};
  std::memcpy(out, fields, sizeof(fields));
}

std::shared_ptr<ReportChannel> ReportChannel::open(Napi::Env env, Napi::Function callback) {
  auto channel = std::make_shared<ReportChannel>();
  for (Buffer& buffer : channel->buffers_) {
    Napi::ArrayBuffer array = Napi::ArrayBuffer::New(env, kBufferBytes);
    buffer.data = static_cast<unsigned char*>(array.Data());
    buffer.array = Napi::Persistent(array);
  }
  // Callbacks that are still queued after `release` find the channel alive: the function holds it until its end.
  auto* const keep = std::make_unique<std::shared_ptr<ReportChannel>>(channel).release();
  channel->callback_ = Callback::New(
      env, callback, "polygraft.report", 0, 1, channel.get(),
      [](Napi::Env, std::shared_ptr<ReportChannel>* held, ReportChannel*) {
        for (Buffer& buffer : (*held)->buffers_) buffer.array.Reset();  // references end on JavaScript's thread
        std::unique_ptr<std::shared_ptr<ReportChannel>>{held};
      },
      keep);
  channel->callback_.Unref(env);
  return channel;
}

Napi::Array ReportChannel::buffers() const {
  Napi::Array array = Napi::Array::New(buffers_[0].array.Env(), 2);
  for (uint32_t i = 0; i < 2; ++i) array[i] = buffers_[i].array.Value();
  return array;
}

void ReportChannel::expect_end(Napi::Env env) {
  if (live_++ == 0) callback_.Ref(env);
}

void ReportChannel::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  room_.notify_all();
}

void ReportChannel::release() { callback_.Release(); }

void ReportChannel::on_report(void* user, const pg_report* report) {
  static_cast<ReportChannel*>(user)->receive(*report);
}

void ReportChannel::receive(const pg_report& report) {
  std::unique_lock lock(mutex_);
  for (uint32_t i = 0; i < report.event_count; ++i) {
    const pg_event& event = report.events[i];
    wait_for_room(lock, event.alternatives);
    if (closed_) return;
    append(event, report.alternatives + event.first_alternative);
  }
  if (closed_) return;
  write_load(report.load, reinterpret_cast<double*>(buffers_[filling_].data));
  request_callback();
}

void ReportChannel::wait_for_room(std::unique_lock<std::mutex>& lock, uint32_t alternatives) {
  const auto has_room = [&] {
    const Buffer& buffer = buffers_[filling_];
    return closed_ || (buffer.events < kEvents && buffer.alternatives + alternatives <= kAlternatives);
  };
  if (has_room()) return;
  request_callback();
  room_.wait(lock, has_room);
}

void ReportChannel::append(const pg_event& event, const pg_alternative* alternatives) {
  Buffer& buffer = buffers_[filling_];
  pg_event copy = event;
  copy.first_alternative = buffer.alternatives;
  std::memcpy(buffer.data + kEventsOffset + buffer.events * sizeof(copy), &copy, sizeof(copy));
  if (event.alternatives > 0) {
    std::memcpy(buffer.data + kAlternativesOffset + buffer.alternatives * sizeof(pg_alternative), alternatives,
                event.alternatives * sizeof(pg_alternative));
  }
  ++buffer.events;
  buffer.alternatives += event.alternatives;
}

// Under the lock, so that it cannot race with `close`.
void ReportChannel::request_callback() {
  if (requested_) return;
  requested_ = callback_.NonBlockingCall() == napi_ok;
}

void ReportChannel::call_js(Napi::Env env, Napi::Function callback, ReportChannel* channel, void*) {
  if (static_cast<napi_env>(env) == nullptr || callback.IsEmpty()) return;  // the environment is ending
  channel->deliver(env, callback);
}

void ReportChannel::deliver(Napi::Env env, Napi::Function callback) {
  int full;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    full = filling_;
    filling_ = 1 - filling_;
    buffers_[filling_].events = 0;
    buffers_[filling_].alternatives = 0;
    // The load stays what it is until a report brings another one.
    std::memcpy(buffers_[filling_].data, buffers_[full].data, kLoadBytes);
    requested_ = false;
  }
  room_.notify_all();
  const Buffer& buffer = buffers_[full];
  settle_ends(env, buffer);
  callback.Call({Napi::Number::New(env, full), Napi::Number::New(env, buffer.events),
                 Napi::Number::New(env, buffer.alternatives)});
}

void ReportChannel::settle_ends(Napi::Env env, const Buffer& buffer) {
  const auto* const events = reinterpret_cast<const pg_event*>(buffer.data + kEventsOffset);
  uint32_t ended = 0;
  for (uint32_t i = 0; i < buffer.events; ++i) {
    if (events[i].kind == PG_EVENT_FINISHED || events[i].kind == PG_EVENT_FAILED) ++ended;
  }
  if (ended == 0) return;
  live_ -= ended;
  if (live_ == 0) callback_.Unref(env);
}

}  // namespace polygraft::node
