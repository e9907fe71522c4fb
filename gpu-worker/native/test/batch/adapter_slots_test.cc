#include "batch/adapter_slots.h"

#include <thread>

#include "test/batch/tiny_engine.h"
#include "test/check.h"

using namespace polygraft;
using namespace polygraft::test;

TEST(the_budget_is_bytes_and_is_given_back) {
  const ModelConfig config = tiny_config();
  const AdapterWeights adapter = tiny_adapter(config, 1, 8, 0x7f);
  const auto backend = tiny_backend();
  const uint64_t bytes = backend->adapter_bytes(config, adapter);
  CHECK(bytes > 0);
  AdapterSlots slots(*backend, config, 2 * bytes + bytes / 2);
  const uint32_t first = slots.attach(adapter);
  slots.attach(adapter);
  CHECK_EQ(slots.bytes_used(), 2 * bytes);
  CHECK_THROWS(PG_RESOURCE_EXHAUSTED, "adapter_bytes", "detach another adapter", slots.attach(adapter));
  slots.detach(first);
  CHECK_EQ(slots.bytes_used(), bytes);
  CHECK(slots.attach(adapter) != first);
}

TEST(a_detached_adapter_lives_until_its_last_sequence_ends) {
  TinyEngine engine;
  const uint32_t slot = engine.slots.attach(tiny_adapter(engine.config, 1, 4, 0x7f));
  SequenceOptions options = request(1, {1, 2, 3}, 10);
  options.adapter = engine.slots.lease(slot);
  const Outcome attached = engine.alone(options);
  engine.slots.detach(slot);
  CHECK_THROWS(PG_NOT_FOUND, "adapter", "no adapter is attached", engine.slots.lease(slot));
  CHECK_THROWS(PG_NOT_FOUND, "adapter", "no adapter is attached", engine.slots.detach(slot));
  CHECK(engine.slots.bytes_used() > 0);
  CHECK(same(engine.alone(options), attached));
  options.adapter.reset();
  CHECK_EQ(engine.slots.bytes_used(), 0u);
  CHECK(!same(engine.alone(options), attached));
}

TEST(attaching_and_detaching_on_many_threads_keeps_the_count) {
  TinyEngine engine;
  const AdapterWeights adapter = tiny_adapter(engine.config, 1, 2, 0x03);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        const uint32_t slot = engine.slots.attach(adapter);
        const AdapterLease lease = engine.slots.lease(slot);
        engine.slots.detach(slot);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(engine.slots.bytes_used(), 0u);
}
