// SHA-256 (FIPS 180-4), and a tree of it over large data.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace polygraft {

using Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256() = default;
  // `portable` keeps off the CPU's SHA instructions, so that tests can compare both ways.
  explicit Sha256(bool portable) : portable_(portable) {}
  void update(std::span<const uint8_t> bytes);
  void update(std::string_view text) { update({reinterpret_cast<const uint8_t*>(text.data()), text.size()}); }
  // A count, as 8 bytes little-endian: what follows a length cannot be mistaken for something else.
  void update_count(uint64_t count);
  // Ends the message. Nothing may follow.
  Digest finish();

 private:
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> block_{};
  uint64_t bytes_ = 0;
  bool portable_ = false;
};

std::string hex(const Digest& digest);

// Reads `out.size()` bytes at `offset` of what is hashed; called from several threads.
using HashSource = std::function<void(uint64_t offset, std::span<uint8_t> out)>;

// SHA-256 over the SHA-256 of each 4 MiB piece, so that all cores share the work. `progress` gets the bytes of each
// piece done, from several threads.
Digest sha256_tree(uint64_t bytes, const HashSource& read, const std::function<void(uint64_t)>& progress);

}  // namespace polygraft
