// Writing safetensors files.
#pragma once

#include <map>
#include <span>
#include <string>

#include "model/weight_list.h"

namespace polygraft {

// Writes the arrays one after the other. False if the disk is full or the path not writable; what was written of the
// file is then left there.
bool write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       std::span<const NamedBytes> arrays);

}  // namespace polygraft
