// What a device must be able to do. `model/graph` calls these ops and knows no device; cpu/ and cuda/ implement them.
//
// Numerics are part of the contract. For each op the result of a row depends on that row, its sequence and its adapter
// alone: never on the other rows of the step, on the number of threads or on how a prompt was cut into chunks. The CPU
// backends go further and define one order of every floating-point sum (see cpu/numerics.md), so that scalar, AVX2 and
// AVX-512 agree bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "abi/engine.h"
#include "model/config.h"
#include "model/weights.h"

namespace polygraft {

inline constexpr uint32_t kKvBlockTokens = 64;

// A model packed for a device, and an adapter packed for a device. Each backend has its own.
struct DeviceModel {
  virtual ~DeviceModel() = default;
  virtual uint64_t bytes() const = 0;
};
struct DeviceAdapter {
  virtual ~DeviceAdapter() = default;
  virtual uint64_t bytes() const = 0;
};

// Paged keys and values of all layers, `blocks` blocks of kKvBlockTokens tokens each.
struct KvPool {
  virtual ~KvPool() = default;
  virtual uint32_t blocks() const = 0;
};

// Device memory for activations, f32.
struct DeviceBuffer {
  virtual ~DeviceBuffer() = default;
  virtual float* data() = 0;  // device address; the CPU's is readable
};

// A sequence's share of a step: `count` consecutive rows from `first_row`.
struct SequenceSpan {
  uint32_t first_row = 0;
  uint32_t count = 0;
  uint32_t first_position = 0;          // of its first row in the sequence
  std::span<const uint32_t> kv_blocks;  // by position / kKvBlockTokens; covers first_position + count tokens
  const DeviceAdapter* adapter = nullptr;
};

// One step: rows of all its sequences, one token a row.
struct StepBatch {
  std::span<const uint32_t> tokens;        // [rows]
  std::span<const SequenceSpan> sequences;
  std::span<const uint32_t> output_rows;   // rows whose logits are wanted, ascending
  uint32_t rows() const { return static_cast<uint32_t>(tokens.size()); }
};

// Which linear layers run as one op: they share an input, so it is quantized and shrunk once.
enum class LinearGroup : uint8_t { kQkv, kO, kGateUp, kDown };
// What happens to the result before it is stored.
enum class Epilogue : uint8_t {
  kStore,   // y = result; kQkv stores q, k and v side by side: [rows][q_dim + 2*kv_dim]
  kAdd,     // y += result (the residual stream)
  kSwiGlu,  // kGateUp only: y = silu(gate) * up, [rows][ffn]
};

struct LinearArgs {
  uint32_t layer = 0;
  LinearGroup group = LinearGroup::kQkv;
  Epilogue epilogue = Epilogue::kStore;
  const float* x = nullptr;  // [rows][k]
  float* y = nullptr;
};

struct BackendOptions {
  std::string isa;       // empty: the best there is
  uint32_t threads = 0;  // 0: all cores
  pg_activations activations = PG_ACTIVATIONS_INT8;
  pg_kv_type kv = PG_KV_F16;                      // what keys and values are stored as
  pg_adapter_type adapters = PG_ADAPTER_SOURCE;  // what adapters are held as
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string device() const = 0;  // "cpu/avx2"
  // What its operator should know: that something of this machine is not used, and why. Empty: nothing.
  virtual std::string warning() const { return {}; }

  // Packing. `upload_model` takes the weights by value and frees each matrix once it is packed.
  virtual std::unique_ptr<DeviceModel> upload_model(const ModelConfig& config, ModelWeights weights,
                                                    const std::function<void(uint64_t, uint64_t)>& progress) = 0;
  // Safe to call while a step runs on another thread.
  virtual std::unique_ptr<DeviceAdapter> upload_adapter(const ModelConfig& config, const AdapterWeights& adapter) = 0;
  virtual uint64_t adapter_bytes(const ModelConfig& config, const AdapterWeights& adapter) const = 0;
  virtual uint64_t kv_block_bytes(const ModelConfig& config) const = 0;
  virtual std::unique_ptr<KvPool> create_kv_pool(const ModelConfig& config, uint32_t blocks) = 0;
  virtual std::unique_ptr<DeviceBuffer> create_buffer(size_t floats) = 0;

  // Ops, in stream order on one thread.
  // y[row] = embedding[tokens[row]], [rows][hidden].
  virtual void embed(const DeviceModel& model, const StepBatch& batch, float* y) = 0;
  // y[row] = x[row] * weight / rms(x[row]); `which`: 0 attention norm, 1 MLP norm of `layer`.
  virtual void rms_norm(const DeviceModel& model, uint32_t layer, int which, uint32_t rows, const float* x, float* y) = 0;
  // The fused quantized-LoRA linear: base, bias, and for each row its sequence's adapter.
  virtual void linear(const DeviceModel& model, const StepBatch& batch, const LinearArgs& args) = 0;
  // Splits qkv [rows][q_dim + 2*kv_dim]: q and k get (q/k norm and) RoPE; q in place, k and v into the pool.
  virtual void rope_and_store_kv(const DeviceModel& model, const StepBatch& batch, uint32_t layer, float* qkv,
                                 KvPool& kv) = 0;
  // Causal attention over the pool (with the model's sliding window): y [rows][q_dim].
  virtual void attention(const DeviceModel& model, const StepBatch& batch, uint32_t layer, const float* qkv,
                         const KvPool& kv, float* y) = 0;
  // Final norm and head for `batch.output_rows`: logits [output_rows][vocab] in host memory, valid until the next call.
  virtual std::span<const float> logits(const DeviceModel& model, const StepBatch& batch, const float* x) = 0;
  // Threads of this machine that the backend keeps, the caller's included.
  virtual uint32_t host_threads() const = 0;
  // Calls task(i, thread) for each i < count on those threads, thread < host_threads(), and returns when all calls have
  // returned: for what the host does with a step's results. Tasks must not throw.
  virtual void run_on_host(uint32_t count, const std::function<void(uint32_t i, uint32_t thread)>& task) = 0;
  // Copies one KV block of all layers (copy-on-write of shared prefixes).
  virtual void copy_kv_block(KvPool& kv, uint32_t from, uint32_t to) = 0;
};

// The CPU backend. Throws Error(PG_INVALID_ARGUMENT, "isa") if the CPU lacks the instruction set asked for.
std::unique_ptr<Backend> create_cpu_backend(const BackendOptions& options);

}  // namespace polygraft
