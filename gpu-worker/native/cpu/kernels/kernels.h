// The table of kernels that each instruction set fills, and their arguments. All are plain data: what crosses from
// code for every CPU into code for one must not carry inline functions along (see cpu/simd/simd.h).
//
// Kernels work on one ticket of an op. They do not know threads, layers or sequences. Each row's result is independent
// of the other rows in the ticket.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "model/weights.h"

namespace polygraft {

inline constexpr uint32_t kLanes = 16;         // columns of a tile
inline constexpr uint32_t kBlockK = 64;        // k of a code block
inline constexpr uint32_t kMaxTileRows = 64;   // rows that one linear ticket may have
inline constexpr uint32_t kMaxQueries = 32;    // rows x heads that one attention ticket may have
inline constexpr uint32_t kMaxHeadDim = 256;
// Groups of activations below this have code 0: 127 / amax would overflow soon after.
inline constexpr float kSmallestAmax = 1e-30f;

// A weight matrix in tile order (see cpu/packing.h).
struct TileMatrix {
  Scheme scheme;
  uint32_t k;       // inputs
  uint32_t blocks;  // ceil(k / 64)
  uint32_t group;   // k that share a scale
  uint32_t groups;  // scale groups of a row, padding included
  const uint8_t* codes;    // W4, NF4, W8
  const uint16_t* scales;  // fp16 [tile][groups][16], W4: [tile][groups][scale, minimum][16]
  const float* values;     // F32: [tile][k][16]
  size_t code_stride, scale_stride, value_stride;  // elements of a tile
};

// Rows of activations as int8, quantized for one group size.
struct QuantizedRows {
  const int8_t* codes;       // [rows][stride], zero beyond k
  const float* scales;       // [rows][groups]
  const float* sums;         // Σ codes of each group, [rows][groups]
  const float* scaled_sums;  // sums * scales: what W4 multiplies with its minimums
  uint32_t stride;           // 64 * blocks
  uint32_t groups;
  uint32_t group;  // k that share a scale
};

// What an adapter's matrices are held as (layouts: cpu/cpu_adapter.h): in the precision of its source, or in int8.
enum class AdapterForm : uint8_t { kF32, kF16, kBf16, kInt8 };

inline constexpr uint32_t kAdapterGroup = 128;  // k of A that share a scale in int8: a multiple of every weight group

// Sixteen elements of v = A x for one row. For int8 adapters they enter the second product as int16.
union alignas(64) RankTile {
  float values[kLanes];
  struct {
    int16_t codes[kLanes];
    float step;  // what one unit of the codes stands for
  } coded;
};

// Consecutive rows with one adapter module: y += scaling * B v.
struct ExpandSpan {
  uint32_t first_row, count;
  uint32_t rank;
  AdapterForm form;
  float scaling;
  const uint8_t* b;     // by tile
  uint32_t tile_bytes;  // of B
  const float* scales;  // of int8, one for each tile
  RankTile* v;          // [row - first_row][v_stride], what shrinking left
  uint32_t v_stride;
};

enum class TileEpilogue : uint8_t { kStore, kAdd, kSwiGlu };

// What one projection brings into a tile.
struct TileOperand {
  const TileMatrix* matrix;
  uint32_t tile;                    // of the matrix
  const float* bias;                // [tile of the projection][16] or null
  const QuantizedRows* quantized;   // null: use x
  const float* x;                   // [row][k], in the order of the matrix's inputs
  const ExpandSpan* spans;          // ascending rows
  uint32_t span_count;
};

// Sixteen columns of a linear layer for up to kMaxTileRows rows; with kSwiGlu the operands are gate and up, else [1] is
// unused.
struct LinearTile {
  TileOperand operands[2];
  uint32_t part_tile;               // of the projection: where bias and its adapters' B have these columns
  uint32_t first_row, rows;
  TileEpilogue epilogue;
  float* y;                         // of this tile's first column, [row][y_stride]
  size_t y_stride;
  uint32_t columns;                 // at most 16
};

// v = A x for sixteen rank rows.
struct ShrinkTile {
  const uint8_t* a;
  AdapterForm form;
  const float* scales;  // of int8: [k / 128][16]
  uint32_t k;
  uint32_t first_row, rows;
  const QuantizedRows* quantized;  // of int8, if the base product takes its input so; null: use x
  const float* x;                  // [row][k], in the order in which it comes
  RankTile* v;                     // of the first row
  uint32_t v_stride;
};

// What keys and values are stored as.
enum class KvType : uint8_t {
  kF32,
  kF16,
  kInt8,  // with one f32 scale for each token and head, of keys and of values
};

// Rotates one row's heads and files its keys and values.
struct RopeRow {
  float* q;                              // [heads][head_dim], in place
  const float* k;                        // [kv_heads][head_dim]
  const float* v;                        // [kv_heads][head_dim]
  uint32_t heads, kv_heads, head_dim;
  const float *cosines, *sines;          // [head_dim / 2], of the row's position
  const float *q_norm, *k_norm;          // [head_dim] or null
  float eps;
  void* block;                           // of this layer, see cpu_kv_pool.h
  size_t head_stride, value_offset;      // elements from one kv head to the next, and from K to V
  size_t scale_offset;                   // elements from K to the scales of kInt8
  uint32_t value_stride;
  uint32_t slot;                         // position % 64
  KvType kv_type;
};

// Some heads of one KV head, some rows of one sequence.
struct AttentionTile {
  const float* q;                 // first row, first head; heads follow each other by head_dim
  float* y;
  size_t q_stride, y_stride;
  uint32_t rows, heads, head_dim;
  uint32_t first_position;
  uint32_t window;                // tokens a query sees, itself included; 0: all
  float scale;
  const uint32_t* blocks;         // the sequence's, by position / 64
  const void* following;          // keys that this thread reads next, to be fetched meanwhile, or null
  const void* kv;                 // this layer and KV head in block 0
  size_t block_stride, value_offset, scale_offset;  // elements
  uint32_t value_stride;
  KvType kv_type;
};

struct Kernels {
  const char* isa;
  // One row of `k` floats to int8 for `group`; scales and both sums have 64 * blocks / group entries, rounded up.
  void (*quantize_row)(const float* x, uint32_t k, uint32_t blocks, uint32_t group, int8_t* codes, float* scales,
                       float* sums, float* scaled_sums);
  void (*linear_tile)(const LinearTile& args);
  void (*shrink_tile)(const ShrinkTile& args);
  void (*embed_row)(const TileMatrix& matrix, uint32_t row, float* y);
  void (*rms_norm_row)(const float* x, const float* weight, uint32_t count, float eps, float* y);
  void (*rope_row)(const RopeRow& args);
  void (*attention_tile)(const AttentionTile& args);
};

// Linears of many rows by AMX, which take the place of avx512vnni's and hand fewer rows on to it.
struct AmxKernels {
  void (*linear_tile)(const LinearTile& args);
};

extern const Kernels kKernelsScalar;
extern const Kernels kKernelsAvx2;        // x86-64 builds only, like the next
extern const Kernels kKernelsAvx512Vnni;
extern const AmxKernels kKernelsAmx;      // where the build defines PG_AMX

}  // namespace polygraft
