// The CPU backend: divides each op into tickets for the pool and calls the kernels of one instruction set.
#pragma once

#include <string>
#include <vector>

#include "cpu/cpu_adapter.h"
#include "cpu/cpu_kv_pool.h"
#include "cpu/cpu_model.h"
#include "cpu/kernels/kernels.h"
#include "cpu/linear_plan.h"
#include "cpu/thread_pool.h"
#include "model/backend.h"

namespace polygraft {

class CpuBackend : public Backend {
 public:
  // `options.isa` is what chose `kernels`.
  CpuBackend(const Kernels& kernels, const BackendOptions& options, std::string warning = {});

  std::string device() const override { return std::string("cpu/") + kernels_.isa; }
  std::string warning() const override { return warning_; }
  std::unique_ptr<DeviceModel> upload_model(const ModelConfig& config, ModelWeights weights,
                                            const std::function<void(uint64_t, uint64_t)>& progress) override;
  std::unique_ptr<DeviceAdapter> upload_adapter(const ModelConfig& config, const AdapterWeights& adapter) override;
  uint64_t adapter_bytes(const ModelConfig& config, const AdapterWeights& adapter) const override;
  uint64_t kv_block_bytes(const ModelConfig& config) const override;
  std::unique_ptr<KvPool> create_kv_pool(const ModelConfig& config, uint32_t blocks) override;
  std::unique_ptr<DeviceBuffer> create_buffer(size_t floats) override;

  void embed(const DeviceModel& model, const StepBatch& batch, float* y) override;
  void rms_norm(const DeviceModel& model, uint32_t layer, int which, uint32_t rows, const float* x, float* y) override;
  void linear(const DeviceModel& model, const StepBatch& batch, const LinearArgs& args) override;
  void rope_and_store_kv(const DeviceModel& model, const StepBatch& batch, uint32_t layer, float* qkv,
                         KvPool& kv) override;
  void attention(const DeviceModel& model, const StepBatch& batch, uint32_t layer, const float* qkv, const KvPool& kv,
                 float* y) override;
  std::span<const float> logits(const DeviceModel& model, const StepBatch& batch, const float* x) override;
  uint32_t host_threads() const override { return pool_.threads(); }
  void run_on_host(uint32_t count, const std::function<void(uint32_t i, uint32_t thread)>& task) override;
  void copy_kv_block(KvPool& kv, uint32_t from, uint32_t to) override;

 private:
  // Room for an op's input in each of its forms.
  void prepare_forms(const LinearOp& op, uint32_t rows, const float* x);
  // Rows of a piece without an adapter (see LinearPlan).
  uint32_t row_step(const LinearOp& op, uint32_t rows) const;
  // Runs an op over rows of x, tickets by tile and row block, after its input has its forms and the plan's shrinks are done.
  void run_linear(const LinearOp& op, const LinearPlan& plan, TileEpilogue epilogue, const float* x, uint32_t rows,
                  float* y, size_t y_stride);

  // Some rows of a sequence; for attention also some of its heads.
  struct SequenceTicket {
    uint32_t sequence, row, kv_head, sub_head;
  };

  const Kernels& kernels_;
  const std::string warning_;
  const bool int8_;
  const KvType kv_type_;
  const bool int8_adapters_;
  ThreadPool pool_;
  LinearPlan plan_;                 // reused by every linear op
  std::vector<FormScratch> forms_;  // reused likewise
  std::vector<RankTile> shrunk_;
  std::vector<float> head_input_, logits_;
  std::vector<SequenceTicket> tickets_;
};

}  // namespace polygraft
