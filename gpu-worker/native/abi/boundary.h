// What keeps exceptions in and misfit structs out.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "abi/engine.h"
#include "model/error.h"

namespace polygraft {

inline pg_code report_error(pg_error* error, pg_code code, const char* field, const char* message) noexcept {
  if (error != nullptr) {
    error->code = code;
    std::snprintf(error->field, sizeof(error->field), "%s", field);
    std::snprintf(error->message, sizeof(error->message), "%s", message);
  }
  return code;
}

// Runs the body of an ABI function; whatever it throws becomes a code and a pg_error.
template <typename Body>
pg_code guarded(pg_error* error, Body&& body) noexcept {
  try {
    body();
    return report_error(error, PG_OK, "", "");
  } catch (const Error& e) {
    return report_error(error, e.code(), e.field().c_str(), e.what());
  } catch (const std::bad_alloc&) {
    return report_error(error, PG_RESOURCE_EXHAUSTED, "", "out of memory");
  } catch (const std::exception& e) {
    return report_error(error, PG_INTERNAL, "", e.what());
  } catch (...) {
    return report_error(error, PG_INTERNAL, "", "an unknown exception");
  }
}

// Throws unless a pointer that the host must give is there.
template <typename T>
T* required(T* pointer, const char* field) {
  if (pointer == nullptr) throw Error(PG_INVALID_ARGUMENT, field, std::string(field) + " is missing");
  return pointer;
}

// A struct of the host as this engine knows it. What an older host lacks is zero; what a newer host has and this engine
// does not must be zero.
template <typename Struct>
Struct read_struct(const Struct* in, const char* field) {
  required(in, field);
  if (in->size < sizeof(in->size)) {
    throw Error(PG_INVALID_ARGUMENT, field, std::string(field) + ".size is not set: it must be the struct's size");
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(in);
  if (std::any_of(bytes + std::min<size_t>(in->size, sizeof(Struct)), bytes + in->size,
                  [](unsigned char byte) { return byte != 0; })) {
    throw Error(PG_UNIMPLEMENTED, field, std::string(field) + " uses fields of a newer engine: update the engine");
  }
  Struct out{};
  std::memcpy(&out, in, std::min<size_t>(in->size, sizeof(Struct)));
  return out;
}

// Fills a struct of the host as far as it knows it.
template <typename Struct>
void write_struct(Struct* out, Struct value) {
  value.size = std::min<uint32_t>(out->size, sizeof(Struct));
  std::memcpy(out, &value, value.size);
}

}  // namespace polygraft
