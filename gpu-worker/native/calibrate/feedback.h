// How the rounding error of one weight is made up for by the weights after it.
//
// The method is GPTQ (Frantar et al. 2022) in the form of LDLQ (Chee et al. 2023, "QuIP", which proves the two equal):
// with H = (U + I) D (U + I)^T, U strictly upper triangular, weight k of a row is rounded after adding
// sum over j < k of (w_j - rounded w_j) U[j][k]. The row's output error is then sum over k of D_k r_k^2, where r_k is what
// rounding itself cost: D says how much each column matters once its followers have made up for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "calibrate/gram.h"

namespace polygraft {

struct Feedback {
  uint32_t columns = 0;
  std::vector<float> u;           // [columns][columns], strictly upper
  std::vector<float> importance;  // D over the mean of the diagonal of H, [columns]
};

// Factorizes H with `damping` times its mean diagonal added to the diagonal, in f64, the same on every machine. Inputs
// that were always zero get no feedback.
Feedback factorize(const Gram& gram, double damping);

}  // namespace polygraft
