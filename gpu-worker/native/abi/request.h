// From the host's request to a sequence.
#pragma once

#include "abi/engine.h"
#include "batch/adapter_slots.h"
#include "batch/sequence.h"

namespace polygraft {

// Checks every field against the ranges of inference.proto and the model, and takes the lease of the adapter. Throws
// Error(PG_INVALID_ARGUMENT or PG_NOT_FOUND) with the field's name in inference.proto.
SequenceOptions check_request(const pg_request& request, const ModelConfig& config, uint32_t max_context,
                              const AdapterSlots& slots);

}  // namespace polygraft
