// Measures llama.cpp through its C API, with one of the CPU builds that it ships.
//
//   llama_cpp_driver MODEL.gguf THREADS CPU_LIBRARY.so LORA.gguf...
//   llama_cpp_driver --scores CPU_LIBRARY.so...     prints for each how well it fits this CPU; 0: it cannot run
//
// It is given every advantage that its interface has: a thread pool that stays, repacked weights, a KV buffer for each
// sequence, and flash attention on or off, whichever is faster for the case.
#include <dlfcn.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "protocol.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr uint32_t kRoom = 512;      // tokens that a stream may decode over all measurements of a case
constexpr uint32_t kPhysical = 512;  // n_ubatch: rows in one pass over the weights
constexpr uint32_t kTrials = 2;      // measurements that decide about flash attention

template <typename T, void (*kFree)(T*)>
struct Freed {
  void operator()(T* it) const { kFree(it); }
};
using Model = std::unique_ptr<llama_model, Freed<llama_model, llama_model_free>>;
using Context = std::unique_ptr<llama_context, Freed<llama_context, llama_free>>;

// Rows for llama_decode.
class Batch {
 public:
  explicit Batch(uint32_t capacity) : batch_(llama_batch_init(static_cast<int32_t>(capacity), 0, 1)) {}
  ~Batch() { llama_batch_free(batch_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  void clear() { batch_.n_tokens = 0; }
  void add(llama_token token, uint32_t position, uint32_t sequence, bool output) {
    const int32_t i = batch_.n_tokens++;
    batch_.token[i] = token;
    batch_.pos[i] = static_cast<llama_pos>(position);
    batch_.n_seq_id[i] = 1;
    batch_.seq_id[i][0] = static_cast<llama_seq_id>(sequence);
    batch_.logits[i] = output;
  }
  llama_batch& get() { return batch_; }

 private:
  llama_batch batch_;
};

class LlamaCppDriver : public peer::Driver {
 public:
  LlamaCppDriver(const char* model, int threads, const std::string& cpu_library, const std::vector<std::string>& loras)
      : threads_(threads) {
    const ggml_backend_reg_t cpu = ggml_backend_load(cpu_library.c_str());
    if (cpu == nullptr) throw std::runtime_error("cannot load " + cpu_library);
    build_ = std::filesystem::path(cpu_library).stem().string().substr(std::string("libggml-cpu-").size());
    llama_backend_init();
    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = 0;
    model_.reset(llama_model_load_from_file(model, params));
    if (!model_) throw std::runtime_error(std::string("cannot load ") + model);
    vocabulary_ = static_cast<uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())));
    tokens_ = peer::Tokens(vocabulary_);
    for (const std::string& path : loras) {
      loras_.push_back(llama_adapter_lora_init(model_.get(), path.c_str()));
      if (loras_.back() == nullptr) throw std::runtime_error("cannot load " + path);
    }
    using NewPool = ggml_threadpool* (*)(ggml_threadpool_params*);
    const auto new_pool = reinterpret_cast<NewPool>(ggml_backend_reg_get_proc_address(cpu, "ggml_threadpool_new"));
    ggml_threadpool_params pool = ggml_threadpool_params_default(threads);
    if (new_pool != nullptr) pool_ = new_pool(&pool);
  }

  std::string device() const { return "cpu/" + build_ + ", q4_0"; }

  std::string setup(const peer::Case& c) override {
    if (c.kind == "serve") throw peer::Unsupported("llama.cpp's C API has no scheduler");
    if (c.adapters > loras_.size()) throw std::runtime_error("there are not so many adapters");
    case_ = c;
    Context contexts[2];
    double best[2];
    uint32_t positions[2];
    for (int flash = 0; flash < 2; ++flash) {
      open(flash != 0);
      if (decoding()) fill();
      run(2);  // the first passes plan memory
      best[flash] = 1e9;
      for (uint32_t i = 0; i < kTrials; ++i) best[flash] = std::min(best[flash], run(decoding() ? 4 : 1).seconds);
      contexts[flash] = std::move(context_);
      positions[flash] = position_;
    }
    const int chosen = best[1] <= best[0];
    context_ = std::move(contexts[chosen]);
    position_ = positions[chosen];
    return chosen ? "flash attention" : "no flash attention";
  }

  peer::Measurement measure() override { return run(case_.tokens); }
  void end() override { context_.reset(); }

 private:
  bool decoding() const { return case_.kind == "decode"; }
  uint32_t groups() const { return std::max(1u, std::min(case_.adapters, case_.streams)); }

  void open(bool flash) {
    llama_context_params params = llama_context_default_params();
    params.n_seq_max = case_.streams;
    params.n_ctx = case_.streams * (case_.context + (decoding() ? kRoom : 0));
    params.n_batch = std::max(kPhysical, case_.streams * (decoding() ? 1 : case_.context));
    params.n_ubatch = kPhysical;
    params.n_threads = params.n_threads_batch = threads_;
    params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.kv_unified = false;
    params.no_perf = true;
    context_.reset(llama_init_from_model(model_.get(), params));
    if (!context_) throw std::runtime_error("cannot make a context of " + std::to_string(params.n_ctx) + " tokens");
    if (pool_ != nullptr) llama_attach_threadpool(context_.get(), pool_, pool_);
    batch_ = std::make_unique<Batch>(params.n_batch);
    use_adapter(0);
  }

  // Gives every sequence its context: computed once, then copied.
  void fill() {
    for (uint32_t done = 0; done < case_.context; done += kPhysical) {
      batch_->clear();
      for (uint32_t i = done; i < std::min(done + kPhysical, case_.context); ++i) batch_->add(token(), i, 0, false);
      decode();
    }
    for (uint32_t s = 1; s < case_.streams; ++s)
      llama_memory_seq_cp(llama_get_memory(context_.get()), 0, static_cast<llama_seq_id>(s), -1, -1);
    position_ = case_.context;
    chosen_.assign(case_.streams, token());
  }

  // One token for every sequence `count` times, or all prompts once.
  peer::Measurement run(uint32_t count) {
    if (decoding() && position_ + count > case_.context + kRoom)
      throw std::runtime_error("the context is full: " + std::to_string(kRoom) + " tokens are the most in all rounds");
    const Clock::time_point start = Clock::now();
    if (decoding()) {
      for (uint32_t i = 0; i < count; ++i, ++position_)
        for (uint32_t group = 0; group < groups(); ++group) step(group);
    } else {
      llama_memory_clear(llama_get_memory(context_.get()), false);
      chosen_.resize(case_.streams);
      for (uint32_t group = 0; group < groups(); ++group) prefill(group);
    }
    const std::chrono::duration<double> took = Clock::now() - start;
    return {uint64_t{case_.streams} * (decoding() ? count : case_.context), took.count()};
  }

  // A context applies one set of adapters to all rows of a call, so sequences take turns by adapter.
  void step(uint32_t group) {
    use_adapter(group);
    batch_->clear();
    for (uint32_t s = group; s < case_.streams; s += stride()) batch_->add(chosen_[s], position_, s, true);
    decode();
    int32_t row = 0;
    for (uint32_t s = group; s < case_.streams; s += stride()) chosen_[s] = best_token(row++);
  }

  void prefill(uint32_t group) {
    use_adapter(group);
    batch_->clear();
    for (uint32_t s = group; s < case_.streams; s += stride())
      for (uint32_t i = 0; i < case_.context; ++i) batch_->add(token(), i, s, i + 1 == case_.context);
    decode();
    int32_t row = static_cast<int32_t>(case_.context) - 1;
    for (uint32_t s = group; s < case_.streams; s += stride(), row += static_cast<int32_t>(case_.context))
      chosen_[s] = best_token(row);
  }

  uint32_t stride() const { return groups(); }

  void use_adapter(uint32_t index) {
    float scale = 1;
    llama_set_adapters_lora(context_.get(), case_.adapters == 0 ? nullptr : &loras_[index], case_.adapters == 0 ? 0 : 1,
                            &scale);
  }

  void decode() {
    const int32_t code = llama_decode(context_.get(), batch_->get());
    if (code != 0) throw std::runtime_error("llama_decode returned " + std::to_string(code));
  }

  llama_token best_token(int32_t row) {
    const float* const logits = llama_get_logits_ith(context_.get(), row);
    // Two passes, because compilers vectorize a maximum but not its index.
    float best = logits[0];
    for (uint32_t i = 1; i < vocabulary_; ++i) best = std::max(best, logits[i]);
    return static_cast<llama_token>(std::find(logits, logits + vocabulary_, best) - logits);
  }

  llama_token token() { return static_cast<llama_token>(tokens_.next()); }

  const int threads_;
  std::string build_;
  Model model_;
  std::vector<llama_adapter_lora*> loras_;  // freed with the model
  ggml_threadpool* pool_ = nullptr;         // as long as the process
  uint32_t vocabulary_ = 0;
  peer::Tokens tokens_{1};
  peer::Case case_;
  Context context_;
  std::unique_ptr<Batch> batch_;
  std::vector<llama_token> chosen_;
  uint32_t position_ = 0;
};

// What ggml's own loader asks a build before it takes it.
int print_scores(const std::vector<std::string>& libraries) {
  for (const std::string& path : libraries) {
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto score = reinterpret_cast<int (*)()>(dlsym(library, "ggml_backend_score"));
    std::printf("%d\n", score == nullptr ? 0 : score());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::string(argv[1]) == "--scores") return print_scores({argv + 2, argv + argc});
  if (argc < 4) {
    std::fprintf(stderr, "usage: llama_cpp_driver MODEL.gguf THREADS CPU_LIBRARY.so LORA.gguf...\n");
    return 2;
  }
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  try {
    LlamaCppDriver driver(argv[1], std::atoi(argv[2]), argv[3], {argv + 4, argv + argc});
    return peer::serve(driver, "llama.cpp", driver.device());
  } catch (const std::exception& e) {
    peer::say("{\"error\":" + peer::quoted(e.what()) + "}");
    return 1;
  }
}
