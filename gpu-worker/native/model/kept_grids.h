// Which matrices of a quantized file are held otherwise than the options say, because the file has them so.
#pragma once

#include <map>
#include <string>

#include "model/config.h"
#include "model/loader.h"
#include "model/weight_source.h"

namespace polygraft {

using KeptGrids = std::map<std::string, OwnGrid>;  // by name

KeptGrids kept_grids(const WeightSource& source, const ModelConfig& config, const QuantizeOptions& options);

}  // namespace polygraft
