#include "model/checkpoint.h"

#include <set>

#include "model/error.h"
#include "model/json_object.h"

namespace polygraft {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 64u << 20;
constexpr size_t kMaxShards = 1024;

// A plain name in the same folder.
bool is_shard_name(const std::string& name) {
  return name.size() <= 255 && name.ends_with(".safetensors") && !name.starts_with('.') &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

}  // namespace

ShardIndex parse_shard_index(std::string_view text) {
  const Json root = parse_json(text, kIndex);
  const JsonObject json(root, kIndex);
  const auto map = json.object("weight_map");
  if (!map) json.refuse(PG_DATA_LOSS, "weight_map", "is missing");
  ShardIndex index;
  std::set<std::string> files;
  for (const auto& [tensor, file] : map->json().members()) {
    if (!file.is_string() || !is_shard_name(file.string()))
      throw Error(PG_FAILED_PRECONDITION, "weight_map",
                  std::string(kIndex) + ": the file of tensor " + tensor.substr(0, 128) +
                      " is not a plain name that ends in .safetensors");
    files.insert(file.string());
    index.file_of.emplace(tensor, file.string());
  }
  if (files.empty()) json.refuse(PG_DATA_LOSS, "weight_map", "is empty");
  if (files.size() > kMaxShards)
    json.refuse(PG_FAILED_PRECONDITION, "weight_map",
                "names " + std::to_string(files.size()) + " files; the limit is " + std::to_string(kMaxShards));
  index.files.assign(files.begin(), files.end());
  return index;
}

Checkpoint::Checkpoint(const std::string& dir) {
  ShardIndex index;
  if (file_exists(dir + "/" + kSingle) || !file_exists(dir + "/" + kIndex))
    index.files = {kSingle};
  else
    index = parse_shard_index(read_text_file(dir + "/" + kIndex, kMaxIndexBytes));

  files_.reserve(index.files.size());  // tensors_ points into it
  for (const std::string& name : index.files) files_.emplace_back(dir + "/" + name);
  for (const SafetensorsFile& file : files_)
    for (const auto& [name, info] : file.header().tensors)
      if (!tensors_.emplace(name, CheckpointTensor{&file, &info}).second)
        throw Error(PG_DATA_LOSS, name, "tensor " + name + " is in more than one shard");
  for (const auto& [name, file] : index.file_of) {
    const CheckpointTensor* tensor = find(name);
    if (tensor == nullptr || tensor->file->file().name() != file)
      throw Error(PG_DATA_LOSS, name,
                  std::string(kIndex) + " places tensor " + name + " in " + file + ", which lacks it");
  }
}

std::vector<const InputFile*> Checkpoint::input_files() const {
  std::vector<const InputFile*> all;
  for (const SafetensorsFile& file : files_) all.push_back(&file.file());
  return all;
}

const CheckpointTensor* Checkpoint::find(std::string_view name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

}  // namespace polygraft
