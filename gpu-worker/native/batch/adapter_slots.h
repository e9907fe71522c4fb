// The device tier of adapters: which ones are packed for the kernels, who uses them, how many bytes they take.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "model/backend.h"

namespace polygraft {

// Bytes in use of a fixed budget. Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(uint64_t limit) : limit_(limit) {}
  // Takes `bytes` if they are left.
  bool take(uint64_t bytes);
  void give_back(uint64_t bytes) { used_.fetch_sub(bytes); }
  uint64_t limit() const { return limit_; }
  uint64_t used() const { return used_.load(); }

 private:
  const uint64_t limit_;
  std::atomic<uint64_t> used_{0};
};

// One content of an adapter, packed for the device. It never changes: its identity names it for as long as anybody holds
// it. Its memory and its share of the budget live until the last holder lets go.
class AdapterContent {
 public:
  // Takes `bytes` of the budget; throws Error(PG_RESOURCE_EXHAUSTED) if they are not left.
  AdapterContent(std::shared_ptr<ByteBudget> budget, uint64_t bytes);
  ~AdapterContent();
  AdapterContent(const AdapterContent&) = delete;
  AdapterContent& operator=(const AdapterContent&) = delete;

  void set_device(std::unique_ptr<DeviceAdapter> device) { device_ = std::move(device); }
  const DeviceAdapter* device() const { return device_.get(); }
  // `identity`: equal only for adapters of equal content. `slot`: where it was attached.
  void set_identity(std::string identity, uint32_t slot) { identity_ = std::move(identity), slot_ = slot; }
  const std::string& identity() const { return identity_; }
  uint32_t slot() const { return slot_; }

 private:
  std::shared_ptr<ByteBudget> budget_;
  uint64_t bytes_;
  std::unique_ptr<DeviceAdapter> device_;
  std::string identity_;
  uint32_t slot_ = PG_NO_ADAPTER;
};
using AdapterContentRef = std::shared_ptr<const AdapterContent>;

// A slot as its sequences see it: the content that is in force, which can be replaced by another one between two steps,
// or be parked. Thread-safe.
class AttachedAdapter {
 public:
  explicit AttachedAdapter(AdapterContentRef content);
  // Another slot of the same content, parked if that one is.
  AttachedAdapter(const AttachedAdapter& other) { replace(other); }
  AttachedAdapter& operator=(const AttachedAdapter&) = delete;

  // Null while it is parked: off the device, to come back.
  AdapterContentRef content() const;
  // Of the content in force, also while it is parked.
  std::string identity() const;
  // Where the content in force was attached.
  uint32_t origin() const;
  void replace(AdapterContentRef content);
  // Takes over the content of another slot, as it is.
  void replace(const AttachedAdapter& by);
  void park();
  // Counts replacements: cheap to look at in every step.
  uint32_t edition() const { return edition_.load(std::memory_order_acquire); }

 private:
  mutable std::mutex mutex_;
  AdapterContentRef content_;
  std::string identity_;
  uint32_t origin_ = PG_NO_ADAPTER;
  std::atomic<uint32_t> edition_{0};
};

// What a sequence holds while it may still be computed. Null: the base alone.
using AdapterLease = std::shared_ptr<const AttachedAdapter>;

// The table of slots. All methods are thread-safe; packing runs outside the lock, beside the step loop.
class AdapterSlots {
 public:
  AdapterSlots(Backend& backend, const ModelConfig& config, uint64_t byte_limit);

  // Packs an adapter and returns its slot. Slot numbers are never reused, so a stale one cannot mean another adapter.
  // `digest` names its content; without one, nobody else's content counts as equal.
  uint32_t attach(const AdapterWeights& weights, const std::string& digest = {});
  // Closes a slot to new requests at once; its memory goes when the last sequence with a lease ends.
  void detach(uint32_t slot);
  // Another slot of the same content, for sequences that `replace` is to reach, or is not. Takes no memory.
  uint32_t alias(uint32_t slot);
  // From the next step on, the sequences of `slot` go on with the content in force at `by`. The content that `slot` had
  // goes when nobody holds it any more. Throws Error(PG_NOT_FOUND, "adapter").
  void replace(uint32_t slot, uint32_t by);
  // Takes the content at `slot` off the device, there and at its aliases. Their sequences stay where they are, with their
  // keys and values, and are computed no further until it is back. Its memory is free when the running step is over.
  void park(uint32_t slot);
  // Packs the content of a parked slot again. Nothing else has changed for its sequences.
  void resume(uint32_t slot, const AdapterWeights& weights);
  // For one sequence. Throws Error(PG_NOT_FOUND, "adapter").
  AdapterLease lease(uint32_t slot) const;
  // Detached adapters that are still in use count.
  uint64_t bytes_used() const { return budget_->used(); }

 private:
  // The lock is held.
  uint32_t next_slot();
  const std::shared_ptr<AttachedAdapter>& at(uint32_t slot) const;

  Backend& backend_;
  const ModelConfig& config_;
  std::shared_ptr<ByteBudget> budget_;
  mutable std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<AttachedAdapter>> slots_;
  uint32_t next_slot_ = 0;
};

}  // namespace polygraft
