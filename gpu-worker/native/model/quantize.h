// From floats to the weight formats of model/weights.h, row by row.
#pragma once

#include <cstdint>

#include "model/affine_search.h"
#include "model/loader.h"
#include "model/weights.h"

namespace polygraft {

// An n x k matrix with room for its codes, scales or values, all zero. `group` is ignored for kF32.
WeightMatrix allocate_matrix(uint32_t n, uint32_t k, Scheme scheme, uint32_t group);

// Fills rows [first_row, first_row + rows) of `out` from row-major floats, finite and below kMaxQuantizable unless
// `out` is kF32. Rows depend on nothing but themselves: threads may fill disjoint ranges, and every machine gets the
// same codes.
void quantize_rows(const float* values, uint32_t first_row, uint32_t rows, WeightMatrix& out,
                   Grid grid = Grid::kSearched);

// The parts of it that a quantizer of its own needs. The index of the table entry nearest to `v`; a tie goes to the
// lower one.
uint8_t nearest_nf4(float v);
// A row's codes of 4 bits, one a byte, into the canonical layout.
void pack_nibbles(const uint8_t* nibbles, uint32_t row, WeightMatrix& out);

}  // namespace polygraft
