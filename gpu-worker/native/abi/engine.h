// The engine's C ABI: the only header that a host sees.
//
// One engine serves one base model. The host loads adapters, submits requests and cancels them; a thread of the engine
// owns the step loop and reports once a step. Policy (who is admitted, which adapter is resident) is the host's;
// mechanism is the engine's.
//
// Rules. Structs that the host fills begin with `size = sizeof(struct)`, so that fields can be added at their ends.
// Pointers in arguments need to live only for the call. Functions return PG_OK or a code, and then fill `pg_error`.
// No exception crosses this boundary. All functions are thread-safe unless they say otherwise.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PG_ABI_VERSION 2

// What went wrong, in the terms of gRPC so that a host can pass it on.
typedef enum pg_code {
  PG_OK = 0,
  PG_INVALID_ARGUMENT = 1,     // a field is out of its range; `field` names it
  PG_NOT_FOUND = 2,            // no such file, adapter or sequence
  PG_FAILED_PRECONDITION = 3,  // well formed, but not for this model; `field` names the tensor or key
  PG_RESOURCE_EXHAUSTED = 4,   // a queue, the KV blocks or the adapter budget are full: try again later
  PG_UNIMPLEMENTED = 5,        // a known feature that this engine lacks; `field` names it
  PG_DATA_LOSS = 6,            // a file is corrupt or truncated
  PG_CANCELLED = 7,            // stopped by the host
  PG_INTERNAL = 8,             // a bug
} pg_code;

// Why a call failed. The host owns it; the engine writes it.
typedef struct pg_error {
  pg_code code;
  char field[128];    // request field, config key or tensor at fault; empty if none
  char message[512];  // one sentence: what happened, which limit, what to do
} pg_error;

// How weights of the linear layers are held. Those that a file has on a 4-bit grid of the engine's stay on it under all but
// PG_SCHEME_F32.
typedef enum pg_scheme {
  PG_SCHEME_DEFAULT = 0,  // W8 for what a quantized file has in more than 4 bits or on another grid, W4 for full precision
  PG_SCHEME_W4 = 1,       // affine: w = s*q + m, q in 0..15, s and m in fp16 for each group
  PG_SCHEME_NF4 = 2,      // 16-entry table: w = s*table[q], s in fp16 for each group
  PG_SCHEME_W8 = 3,       // symmetric: w = s*q, q in -127..127, s in fp16 for each group
  PG_SCHEME_F32 = 4,      // not quantized: for goldens and for measuring what quantization costs
} pg_scheme;

// How activations enter a quantized linear layer.
typedef enum pg_activations {
  PG_ACTIVATIONS_INT8 = 0,  // int8 for each row and weight group, exact integer sums
  PG_ACTIVATIONS_F32 = 1,   // as they are
} pg_activations;

// What keys and values are stored as.
typedef enum pg_kv_type {
  PG_KV_DEFAULT = 0,  // f16; f32 where activations are f32
  PG_KV_F16 = 1,
  PG_KV_F32 = 2,
  PG_KV_INT8 = 3,  // half of f16's memory, with a scale for each token and head; queries and weights are quantized too
  PG_KV_ANY = 0x7fffffff,  // never given: with it, C++ may read whatever number a caller gave, and refuse it
} pg_kv_type;

// What adapters are held as on the device.
typedef enum pg_adapter_type {
  PG_ADAPTER_DEFAULT = 0,  // source
  PG_ADAPTER_SOURCE = 1,   // in the precision of their files
  PG_ADAPTER_INT8 = 2,     // half of bf16's memory, with a scale for 128 elements of A, and for 16 outputs of B
  PG_ADAPTER_ANY = 0x7fffffff,  // never given (see PG_KV_ANY)
} pg_adapter_type;

// How an engine is opened. Zero means the default where one is given.
typedef struct pg_engine_options {
  uint32_t size;
  const char* model_dir;          // Hugging Face folder (config.json and *.safetensors), or a GGUF file
  const char* cache_dir;          // keeps quantized checkpoints; NULL: none
  pg_scheme scheme;               // default: what the file kept, else PG_SCHEME_W4
  pg_activations activations;     // default: PG_ACTIVATIONS_INT8
  uint32_t group;                 // weights that share a scale along K: 32, 64 or 128; default: 32
  uint32_t head_bits;             // embedding and head: 4, 8 or 32; default: 8 (32 under PG_SCHEME_F32)
  const char* isa;                // "scalar", "avx2", "avx512vnni", "avx512amx"; NULL: the best that the CPU has
  uint32_t threads;               // default: all cores
  uint32_t max_context;           // tokens of a sequence; default: the model's own limit, at most 8192
  uint32_t max_sequences;         // in one step; default: 64
  uint32_t max_step_tokens;       // in one step; default: 512
  uint32_t max_queue;             // waiting requests; default: 1024
  uint64_t kv_bytes;              // for KV blocks; default: max_sequences at 1024 tokens, at most 1 GiB
  uint64_t adapter_bytes;         // for adapters on the device; default: 512 MiB
  bool no_prefix_cache;           // computes every prompt in full
  uint32_t max_prefill_tokens;    // prompt tokens in a step in which others decode; default: 64
  uint64_t memory_bytes;          // for all that a worker holds; what else is not set is planned from it. Default: no plan
  uint64_t host_adapter_bytes;    // of them, for adapters in host memory, which are the host's; default: by plan
  pg_kv_type kv_type;             // of keys and values; default: f16
  pg_adapter_type adapter_type;   // of adapters on the device; default: source
} pg_engine_options;

// What an engine serves. Strings live as long as the engine.
typedef struct pg_model_info {
  uint32_t size;
  const char* architecture;  // "llama", "mistral", "qwen2", "qwen3"
  const char* digest;        // "sha256:…" over all that output depends on: weights, config, quantization, types
  const char* device;        // "cpu/avx2"
  const char* weights;       // "w4-g32"; of a mixture, "w4-g32+w8-g32", the more frequent first
  uint32_t vocabulary_size, context_length, hidden_size, layers;
  uint32_t kv_blocks, kv_block_tokens;
  uint64_t weight_bytes, kv_bytes, adapter_bytes;
  uint32_t max_sequences, max_step_tokens, max_queue;
  uint32_t eos_count;
  uint32_t eos_token_ids[16];  // from generation_config.json, else config.json
  int32_t bos_token_id;        // -1: none
  uint64_t host_adapter_bytes;       // what the plan has for the host's adapters; 0: no plan
  uint64_t scratch_bytes, process_bytes;  // of a step, and of the host as planned
  const char* warning;               // that something of this machine is not used, and why; "": nothing
} pg_model_info;

typedef struct pg_engine pg_engine;
typedef struct pg_adapter pg_adapter;  // an adapter in host memory, checked against the model

// Progress of a long call, from the calling thread: `done` of `total` bytes of `phase` ("read", "quantize", "pack").
// Return false to stop; the call then fails with PG_CANCELLED.
typedef bool (*pg_progress)(void* user, const char* phase, uint64_t done, uint64_t total);

// Reads, quantizes and packs a model, and starts its step loop. Blocks for seconds.
pg_code pg_engine_open(const pg_engine_options* options, pg_progress progress, void* user, pg_engine** out,
                       pg_error* error);
// Stops the loop after the running step; sequences end without a report. Not thread-safe. NULL is allowed.
void pg_engine_close(pg_engine* engine);
void pg_engine_info(const pg_engine* engine, pg_model_info* out);

// ---- Adapters: host tier, then device tier

typedef struct pg_adapter_info {
  uint32_t size;
  uint32_t rank;                   // the largest among its modules
  uint32_t module_count;           // (layer, projection) pairs
  uint32_t target_mask;            // bit 0..6: q, k, v, o, gate, up, down
  uint64_t host_bytes, device_bytes;
  char base_model[256];            // base_model_name_or_path of its config
} pg_adapter_info;

// Reads a PEFT folder into host memory and checks every tensor against the model. Blocks for milliseconds; call it
// from a thread that may. Errors name the config key or tensor.
pg_code pg_adapter_open(pg_engine* engine, const char* dir, pg_adapter** out, pg_error* error);
void pg_adapter_get_info(const pg_adapter* adapter, pg_adapter_info* out);
// Frees host memory. An attached copy on the device stays.
void pg_adapter_close(pg_adapter* adapter);
// Packs an adapter for the kernels. `slot` is its handle in requests. PG_RESOURCE_EXHAUSTED if the budget is full:
// the host then detaches another one. `digest` names the adapter's content, config included: prefixes are shared
// between slots of one digest, so they outlast the slot. NULL: only requests for this slot share them.
pg_code pg_adapter_attach(pg_engine* engine, const pg_adapter* adapter, const char* digest, uint32_t* slot,
                          pg_error* error);
// Frees a slot once no sequence uses it; new requests for it fail with PG_NOT_FOUND at once.
pg_code pg_adapter_detach(pg_engine* engine, uint32_t slot, pg_error* error);
// Another slot of the content at `slot`; it takes no memory. Each is detached on its own.
pg_code pg_adapter_alias(pg_engine* engine, uint32_t slot, uint32_t* alias, pg_error* error);
// From the next step on, `slot` has the content of `by`: whatever runs or waits at `slot` goes on with it, and reports
// PG_EVENT_REPLACED first. Keys and values that are computed stay; they are no prefixes for others any more. The memory
// of what `slot` had is freed when no other slot has it.
pg_code pg_adapter_replace(pg_engine* engine, uint32_t slot, uint32_t by, pg_error* error);

// Takes the content at `slot` off the device for a while, there and at its aliases. Sequences stay where they are, keys
// and values included, and are computed no further until it is back; requests for the slot wait as well. Its memory is
// free when the running step is over.
pg_code pg_adapter_park(pg_engine* engine, uint32_t slot, pg_error* error);
// Packs the content of a parked slot again, from the adapter that it was attached from. Nothing happens if it is there.
pg_code pg_adapter_resume(pg_engine* engine, const pg_adapter* adapter, uint32_t slot, pg_error* error);

// ---- Requests

#define PG_NO_ADAPTER 0xffffffffu

typedef struct pg_logit_bias {
  uint32_t token_id;
  float bias;
} pg_logit_bias;

// One generation. Ranges are those of SamplingOptions and StoppingOptions in inference.proto.
typedef struct pg_request {
  uint32_t size;
  uint64_t id;                       // the host's; reports carry it
  uint32_t adapter_slot;             // or PG_NO_ADAPTER
  const uint32_t* prompt;            // prompt tokens, at least one
  uint32_t prompt_count;
  uint32_t resumed_count;            // of the prompt's last tokens, how many are output delivered before
  uint32_t max_tokens, min_tokens;   // output tokens, resumed ones included
  const uint32_t* stop_ids;          // besides the model's own
  uint32_t stop_count;
  bool ignore_eos;
  float temperature;                 // 0: greedy
  uint32_t top_k;                    // 0: all
  float top_p, min_p;
  float repetition_penalty, frequency_penalty, presence_penalty;
  uint64_t seed;
  const pg_logit_bias* bias;
  uint32_t bias_count;
  bool logprobs, prompt_logprobs;
  uint32_t top_logprobs;             // at most 20
  int32_t priority;                  // higher first
  const char* cache_salt;            // prefixes are shared under equal salts only; any bytes, at most 256
  uint32_t cache_salt_bytes;
  bool cache_bypass;                 // neither reads nor fills the prefix cache
  const char* tenant;                // whose fair share it uses; any bytes, at most 128
  uint32_t tenant_bytes;
  uint32_t deadline_millis;          // until its first token is due: the earlier goes first; 0: in no hurry
} pg_request;

typedef enum pg_event_kind {
  PG_EVENT_STARTED = 0,       // first step with this sequence; `value` = tokens from the prefix cache
  PG_EVENT_PROMPT_SCORE = 1,  // one prompt token, in order; `token`, `logprob`, alternatives
  PG_EVENT_TOKEN = 2,         // one output token; `token`, `logprob`, alternatives
  PG_EVENT_FINISHED = 3,      // last; `value` = pg_finish
  PG_EVENT_FAILED = 4,        // last; `value` = pg_code
  PG_EVENT_REPLACED = 5,      // what follows comes from another adapter content; `value` = the slot it was attached at
} pg_event_kind;

typedef enum pg_finish {
  PG_FINISH_STOP_TOKEN = 0,  // the event before, else the last resumed token, was the stop token
  PG_FINISH_MAX_TOKENS = 1,
  PG_FINISH_CONTEXT_FULL = 2,
  PG_FINISH_CANCELLED = 3,
} pg_finish;

// 32 bytes, so that a host can read a report as a typed array.
typedef struct pg_event {
  uint64_t id;           // of the request
  uint32_t kind;         // pg_event_kind
  uint32_t token;
  float logprob;         // 0 unless asked for
  uint32_t value;
  uint32_t alternatives;       // how many
  uint32_t first_alternative;  // index into the report's alternatives
} pg_event;

typedef struct pg_alternative {
  uint32_t token;
  float logprob;
} pg_alternative;

// How busy the engine is, as of the end of a step.
typedef struct pg_load {
  uint64_t steps;             // since the start
  uint32_t step_micros;       // of this step
  uint32_t step_tokens;       // computed in this step
  uint32_t running, waiting;  // sequences
  uint32_t waiting_tokens;    // prompt tokens not computed yet
  uint32_t in_flight_tokens;  // prompt left and output allowed, of all sequences
  uint32_t kv_blocks_used;    // by sequences
  uint64_t adapter_bytes_used;
  uint32_t kv_blocks_cached;  // held by the prefix cache alone: given up when others need them
} pg_load;

// What one step produced.
typedef struct pg_report {
  const pg_event* events;
  uint32_t event_count;
  const pg_alternative* alternatives;
  uint32_t alternative_count;
  pg_load load;
} pg_report;

// Called on the engine's thread after each step, and when sequences end between steps. Must copy what it needs and
// return quickly: the next step waits for it. Must not call back into the engine.
typedef void (*pg_on_report)(void* user, const pg_report* report);

// Sets the receiver. Call once, before the first submit.
void pg_engine_on_report(pg_engine* engine, pg_on_report callback, void* user);
// Queues a request. Everything that can be checked is checked here; `field` uses the names of inference.proto.
pg_code pg_submit(pg_engine* engine, const pg_request* request, pg_error* error);
// Ends a sequence before the next step; its blocks are free then. It reports PG_FINISH_CANCELLED. Unknown ids are
// ignored: the sequence may have just ended.
void pg_cancel(pg_engine* engine, uint64_t id);
void pg_engine_load(const pg_engine* engine, pg_load* out);

// ---- Quantizing ahead of time

// How the grid of a W4 group is found.
typedef enum pg_grid {
  PG_GRID_SEARCHED = 0,   // the clip range and regression that lower the squared error
  PG_GRID_PLAIN = 1,      // from the smallest weight to the largest
  PG_GRID_SYMMETRIC = 2,  // as in llama.cpp's Q4_0
} pg_grid;

// How a checkpoint is quantized. Zero means the default where one is given.
typedef struct pg_quantize_options {
  uint32_t size;
  const char* model_dir;     // Hugging Face folder (config.json and *.safetensors), or a GGUF file, not in 4 bits
  const char* out_file;      // the weights file to write: together with the source's config.json it can be served; of a
                             // GGUF file, config.json is written into the same folder
  pg_scheme scheme;          // default: PG_SCHEME_W4, whatever the file
  uint32_t group;            // 32, 64 or 128; default: 32
  uint32_t head_bits;        // 4, 8 or 32; default: 8
  pg_grid grid;              // default: PG_GRID_SEARCHED; calibration needs it
  const uint32_t* tokens;    // texts to calibrate with; NULL: weights are rounded by themselves
  uint32_t token_count;
  uint32_t sequence_tokens;  // that see each other; default: 512, or the model's positions if they are fewer
  uint32_t threads;          // of the calibration's forward passes; default: all cores
} pg_quantize_options;

// What quantizing did. Errors are squared errors over squares of what was to be kept, mean over layers, by projection in
// the order of the target mask; the eighth is that of the head, 0 where that is not in 4 bits.
typedef struct pg_quantize_report {
  uint32_t size;
  uint32_t layers;
  uint64_t parameters;             // of all matrices
  uint64_t bytes;                  // of the written file
  double plain_weight_error[8];    // had groups ranged from their smallest to their largest weight
  double weight_error[8];          // as written
  double rounded_output_error[8];  // of outputs on the calibration tokens, had each weight been rounded by itself
  double output_error[8];          // the same as written; both 0 without calibration
} pg_quantize_report;

// Reads, quantizes and writes a checkpoint. Blocks for seconds, with calibration for minutes. Phases are "quantize" in
// bytes, "calibrate" in linear layers and pieces of the head, and "compare" in layers. Deterministic: the same source, options and tokens give
// the same file on every machine. Nothing is left of `out_file` if it fails.
pg_code pg_quantize(const pg_quantize_options* options, pg_progress progress, void* user, pg_quantize_report* out,
                    pg_error* error);

#ifdef __cplusplus
}
#endif
