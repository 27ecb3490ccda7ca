#include "runtime/digest.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace troupe {
namespace {

std::vector<std::byte> some_bytes(size_t count) {
  std::mt19937 rng{7};
  std::vector<std::byte> out(count);
  for (auto& x : out)
    x = std::byte(rng());
  return out;
}

// As xxhsum -H2 says.
TEST(Digest, IsXxh3Of128Bits) {
  EXPECT_EQ(to_string(digest_of(std::string_view{})),
            "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(to_string(digest_of("troupe")), "71698ef7b4dce30b6673611043649e53");
}

TEST(Digest, DoesNotDependOnWhereBytesAreCut) {
  auto bytes = some_bytes(100'000);
  auto whole = digest_of(bytes);
  digest_stream stream;
  for (size_t step : {1u, 63u, 240u, 4096u, 131'072u}) {
    for (size_t at = 0; at < bytes.size(); at += step)
      stream.add(
        std::span{bytes}.subspan(at, std::min(step, bytes.size() - at)));
    EXPECT_EQ(stream.take(), whole) << "in steps of " << step;
  }
}

TEST(Digest, OfNothingIsThatOfAnEmptyFile) {
  digest_stream stream;
  stream.add({});
  EXPECT_EQ(stream.take(), digest_of(std::string_view{}));
}

TEST(Digest, IsAnotherIfAnyByteIs) {
  auto bytes = some_bytes(3000);
  auto whole = digest_of(bytes);
  for (auto& x : bytes) {
    x ^= std::byte{1};
    EXPECT_NE(digest_of(bytes), whole);
    x ^= std::byte{1};
  }
  EXPECT_NE(digest_of(std::span{bytes}.first(2999)), whole);
  EXPECT_EQ(digest_of(bytes), whole);
}

} // namespace
} // namespace troupe
