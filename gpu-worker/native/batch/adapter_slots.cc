#include "batch/adapter_slots.h"

#include <string>
#include <utility>

#include "model/error.h"

namespace polygraft {

bool ByteBudget::take(uint64_t bytes) {
  uint64_t used = used_.load();
  do {
    if (bytes > limit_ - used) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes));
  return true;
}

AttachedAdapter::AttachedAdapter(std::shared_ptr<ByteBudget> budget, uint64_t bytes)
    : budget_(std::move(budget)), bytes_(bytes) {
  if (!budget_->take(bytes_)) {
    throw Error(PG_RESOURCE_EXHAUSTED, "adapter_bytes",
                "the adapter takes " + std::to_string(bytes_) + " bytes on the device, of its budget of " +
                    std::to_string(budget_->limit()) + " bytes " + std::to_string(budget_->used()) +
                    " are in use: detach another adapter, or raise adapter_bytes");
  }
}

AttachedAdapter::~AttachedAdapter() {
  device_.reset();  // first the memory, then the right to use it again
  budget_->give_back(bytes_);
}

AdapterSlots::AdapterSlots(Backend& backend, const ModelConfig& config, uint64_t byte_limit)
    : backend_(backend), config_(config), budget_(std::make_shared<ByteBudget>(byte_limit)) {}

uint32_t AdapterSlots::attach(const AdapterWeights& weights, const std::string& digest) {
  auto adapter = std::make_shared<AttachedAdapter>(budget_, backend_.adapter_bytes(config_, weights));
  adapter->set_device(backend_.upload_adapter(config_, weights));
  const std::lock_guard lock(mutex_);
  if (next_slot_ == PG_NO_ADAPTER) throw Error(PG_RESOURCE_EXHAUSTED, "", "all slot numbers are used up: restart");
  const uint32_t slot = next_slot_++;
  adapter->set_identity(digest.empty() ? "slot " + std::to_string(slot) : digest);
  slots_.emplace(slot, std::move(adapter));
  return slot;
}

void AdapterSlots::detach(uint32_t slot) {
  AdapterLease freed;  // outlives the lock: freeing takes time
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(slot);
  if (found == slots_.end()) {
    throw Error(PG_NOT_FOUND, "adapter", "no adapter is attached at slot " + std::to_string(slot));
  }
  freed = std::move(found->second);
  slots_.erase(found);
}

AdapterLease AdapterSlots::lease(uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(slot);
  if (found == slots_.end()) {
    throw Error(PG_NOT_FOUND, "adapter",
                "no adapter is attached at slot " + std::to_string(slot) + ": attach it again");
  }
  return found->second;
}

}  // namespace polygraft
