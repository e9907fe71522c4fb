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

AdapterContent::AdapterContent(std::shared_ptr<ByteBudget> budget, uint64_t bytes)
    : budget_(std::move(budget)), bytes_(bytes) {
  if (!budget_->take(bytes_)) {
    throw Error(PG_RESOURCE_EXHAUSTED, "adapter_bytes",
                "the adapter takes " + std::to_string(bytes_) + " bytes on the device, of its budget of " +
                    std::to_string(budget_->limit()) + " bytes " + std::to_string(budget_->used()) +
                    " are in use: detach another adapter, or raise adapter_bytes");
  }
}

AdapterContent::~AdapterContent() {
  device_.reset();  // first the memory, then the right to use it again
  budget_->give_back(bytes_);
}

AttachedAdapter::AttachedAdapter(AdapterContentRef content)
    : content_(std::move(content)), identity_(content_->identity()), origin_(content_->slot()) {}

AdapterContentRef AttachedAdapter::content() const {
  const std::lock_guard lock(mutex_);
  return content_;
}

std::string AttachedAdapter::identity() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

uint32_t AttachedAdapter::origin() const {
  const std::lock_guard lock(mutex_);
  return origin_;
}

void AttachedAdapter::replace(AdapterContentRef content) {
  const std::lock_guard lock(mutex_);
  identity_ = content->identity();
  origin_ = content->slot();
  content_.swap(content);
  edition_.fetch_add(1, std::memory_order_release);
}

void AttachedAdapter::replace(const AttachedAdapter& by) {
  const std::scoped_lock lock(mutex_, by.mutex_);
  content_ = by.content_;
  identity_ = by.identity_;
  origin_ = by.origin_;
  edition_.fetch_add(1, std::memory_order_release);
}

void AttachedAdapter::park() {
  AdapterContentRef parked;  // outlives the lock: freeing takes time
  const std::lock_guard lock(mutex_);
  parked = std::move(content_);
  content_.reset();
  edition_.fetch_add(1, std::memory_order_release);
}

AdapterSlots::AdapterSlots(Backend& backend, const ModelConfig& config, uint64_t byte_limit)
    : backend_(backend), config_(config), budget_(std::make_shared<ByteBudget>(byte_limit)) {}

uint32_t AdapterSlots::attach(const AdapterWeights& weights, const std::string& digest) {
  auto content = std::make_shared<AdapterContent>(budget_, backend_.adapter_bytes(config_, weights));
  content->set_device(backend_.upload_adapter(config_, weights));
  const std::lock_guard lock(mutex_);
  const uint32_t slot = next_slot();
  content->set_identity(digest.empty() ? "slot " + std::to_string(slot) : digest, slot);
  slots_.emplace(slot, std::make_shared<AttachedAdapter>(std::move(content)));
  return slot;
}

void AdapterSlots::detach(uint32_t slot) {
  AdapterLease freed;  // outlives the lock: freeing takes time
  const std::lock_guard lock(mutex_);
  freed = at(slot);
  slots_.erase(slot);
}

uint32_t AdapterSlots::alias(uint32_t slot) {
  const std::lock_guard lock(mutex_);
  auto other = std::make_shared<AttachedAdapter>(*at(slot));
  const uint32_t number = next_slot();
  slots_.emplace(number, std::move(other));
  return number;
}

uint32_t AdapterSlots::next_slot() {
  if (next_slot_ == PG_NO_ADAPTER) throw Error(PG_RESOURCE_EXHAUSTED, "", "all slot numbers are used up: restart");
  return next_slot_++;
}

void AdapterSlots::replace(uint32_t slot, uint32_t by) {
  AdapterContentRef freed;  // outlives the lock
  const std::lock_guard lock(mutex_);
  AttachedAdapter& replaced = *at(slot);
  const AttachedAdapter& other = *at(by);
  freed = replaced.content();
  if (&replaced != &other) replaced.replace(other);
}

void AdapterSlots::park(uint32_t slot) {
  AdapterContentRef freed;  // outlives the lock
  const std::lock_guard lock(mutex_);
  freed = at(slot)->content();
  const uint32_t origin = at(slot)->origin();
  for (const auto& [number, adapter] : slots_) {
    if (adapter->origin() == origin) adapter->park();
  }
}

void AdapterSlots::resume(uint32_t slot, const AdapterWeights& weights) {
  std::string identity;
  uint32_t origin = 0;
  {
    const std::lock_guard lock(mutex_);
    if (at(slot)->content()) return;
    identity = at(slot)->identity();
    origin = at(slot)->origin();
  }
  auto content = std::make_shared<AdapterContent>(budget_, backend_.adapter_bytes(config_, weights));
  content->set_device(backend_.upload_adapter(config_, weights));
  content->set_identity(std::move(identity), origin);
  const std::lock_guard lock(mutex_);
  for (const auto& [number, adapter] : slots_) {
    if (adapter->origin() == origin && !adapter->content()) adapter->replace(content);
  }
}

AdapterLease AdapterSlots::lease(uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  return at(slot);
}

const std::shared_ptr<AttachedAdapter>& AdapterSlots::at(uint32_t slot) const {
  const auto found = slots_.find(slot);
  if (found == slots_.end()) {
    throw Error(PG_NOT_FOUND, "adapter",
                "no adapter is attached at slot " + std::to_string(slot) + ": attach it again");
  }
  return found->second;
}

}  // namespace polygraft
