#include "model/safetensors_writer.h"

#include <fstream>

#include "model/json.h"

namespace polygraft {
namespace {

std::string header_text(const std::map<std::string, std::string>& metadata, std::span<const NamedBytes> arrays) {
  std::string text = "{\"__metadata__\":{";
  for (const char* comma = ""; const auto& [key, value] : metadata) {
    text += comma + quote_json(key) + ":" + quote_json(value);
    comma = ",";
  }
  text += "}";
  uint64_t at = 0;
  for (const NamedBytes& array : arrays) {
    text += "," + quote_json(array.name) + ":{\"dtype\":\"" + dtype_name(array.dtype) + "\",\"shape\":[";
    for (size_t i = 0; i < array.shape.size(); ++i) text += (i == 0 ? "" : ",") + std::to_string(array.shape[i]);
    text += "],\"data_offsets\":[" + std::to_string(at) + "," + std::to_string(at + array.bytes.size()) + "]}";
    at += array.bytes.size();
  }
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');  // the format wants the data aligned
  return text;
}

}  // namespace

bool write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       std::span<const NamedBytes> arrays) {
  const std::string header = header_text(metadata, arrays);
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  uint8_t length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(static_cast<uint64_t>(header.size()) >> 8 * i);
  out.write(reinterpret_cast<const char*>(length), 8);
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const NamedBytes& array : arrays)
    out.write(reinterpret_cast<const char*>(array.bytes.data()), static_cast<std::streamsize>(array.bytes.size()));
  out.close();
  return static_cast<bool>(out);
}

}  // namespace polygraft
