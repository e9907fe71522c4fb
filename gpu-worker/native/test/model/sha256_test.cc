#include "model/sha256.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "test/check.h"

using namespace polygraft;

namespace {

std::string sha256(std::string_view text) {
  Sha256 hash, portable(true);
  hash.update(text);
  portable.update(text);
  const std::string digest = hex(hash.finish());
  CHECK_EQ(hex(portable.finish()), digest);
  return digest;
}

std::vector<uint8_t> bytes_of(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i * 131 + (i >> 8));
  return bytes;
}

std::string tree_of(const std::vector<uint8_t>& bytes) {
  std::atomic<uint64_t> seen{0};
  const Digest digest = sha256_tree(
      bytes.size(),
      [&](uint64_t offset, std::span<uint8_t> out) {
        std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
      },
      [&](uint64_t done) { seen += done; });
  CHECK_EQ(seen.load(), bytes.size());
  return hex(digest);
}

}  // namespace

// Examples of FIPS 180-4 and its "one million a".
TEST(known_messages) {
  CHECK_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK_EQ(sha256(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(pieces_of_any_size_give_the_same_digest) {
  const auto bytes = bytes_of(1000);
  Sha256 whole;
  whole.update(bytes);
  const std::string expected = hex(whole.finish());
  for (const size_t step : {1u, 3u, 55u, 56u, 63u, 64u, 65u, 127u, 500u}) {
    Sha256 hash;
    for (size_t at = 0; at < bytes.size(); at += step)
      hash.update(std::span(bytes).subspan(at, std::min(step, bytes.size() - at)));
    CHECK_EQ(hex(hash.finish()), expected);
  }
}

TEST(the_tree_sees_every_byte_and_the_length) {
  const auto bytes = bytes_of((4u << 20) + 17);
  const std::string digest = tree_of(bytes);
  CHECK_EQ(digest, tree_of(bytes));
  for (const size_t at : {size_t{0}, size_t{4u << 20}, bytes.size() - 1}) {
    auto changed = bytes;
    changed[at] ^= 1;
    CHECK(tree_of(changed) != digest);
  }
  auto longer = bytes;
  longer.push_back(0);
  CHECK(tree_of(longer) != digest);
  CHECK(tree_of({}) != digest);
}
