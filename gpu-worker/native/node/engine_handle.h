// An engine and what its thread uses, for as long as anybody works with it.
#pragma once

#include <memory>
#include <utility>

#include "abi/engine.h"
#include "node/report_channel.h"

namespace polygraft::node {

// Shared by the JavaScript object and by work on other threads; the last one to let go closes the engine.
class EngineHandle {
 public:
  explicit EngineHandle(pg_engine* engine) : engine_(engine) {}
  ~EngineHandle() {
    if (channel_) channel_->close();  // the engine's thread may be waiting in it
    pg_engine_close(engine_);
  }
  EngineHandle(const EngineHandle&) = delete;
  EngineHandle& operator=(const EngineHandle&) = delete;

  pg_engine* engine() const { return engine_; }
  // Null before `set_channel`.
  const std::shared_ptr<ReportChannel>& channel() const { return channel_; }
  void set_channel(std::shared_ptr<ReportChannel> channel) {
    channel_ = std::move(channel);
    pg_engine_on_report(engine_, &ReportChannel::on_report, channel_.get());
  }

 private:
  pg_engine* engine_;
  std::shared_ptr<ReportChannel> channel_;
};

// An adapter in host memory; work on other threads may outlive its JavaScript object.
using AdapterHandle = std::shared_ptr<pg_adapter>;

}  // namespace polygraft::node
