// Golden models as GGUF files, laid out as llama.cpp's converter does.
#pragma once

#include <string>

namespace polygraft::files {

// How the matrices of the layers are stored; all else is F32.
enum class GgufMatrices { kF32, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kMixture };
// Of kMixture: the type of a tensor by its name in the file. Matrices that share an input differ.
GgufMatrices mixed_type(const std::string& name);

// The bytes of a GGUF file with the weights of a Hugging Face folder: a single model.safetensors or shards.
std::string gguf_of_folder(const std::string& dir, GgufMatrices matrices);

}  // namespace polygraft::files
