// Numbers of GPUs are those of the host, bit by bit.

#include "tests/cuda_on_host/grid.hpp"

#include "kernels/cuda/numbers.hpp"
#include "kernels/host/token_weights.hpp"

#include <gtest/gtest.h>

#include <random>

using namespace troupe::kernels;

namespace {

constexpr uint64_t seed = 20;

class Numbers : public testing::Test {
protected:
  std::mt19937_64 random_{seed};

  float any_float() {
    return std::bit_cast<float>(uint32_t(random_()));
  }
};

TEST_F(Numbers, NarrowFloatsAreThoseOfTheHost) {
  for (int i = 0; i < 300000; ++i) {
    // Every exponent, and those that E4M3 has.
    auto x = i % 2 ? any_float() : std::ldexp(any_float(), 0);
    if (i % 3 == 0)
      x = std::copysign(std::ldexp(1 + float(random_() % 4096) / 4096,
                                   int(random_() % 24) - 14),
                        x);
    ASSERT_EQ(cuda::to_bf16(x), host::to_bf16(x)) << x << ", seed " << seed;
    ASSERT_EQ(cuda::to_e4m3(x), host::to_e4m3(x)) << x << ", seed " << seed;
    ASSERT_EQ(cuda::to_e4m3(x, 0.37f), host::to_e4m3(x, 0.37f)) << x;
  }
  for (uint32_t bits = 0; bits < 65536; ++bits)
    ASSERT_EQ(cuda::bits_of(cuda::from_bf16(uint16_t(bits))), bits << 16);
}

TEST_F(Numbers, WeightsOfTokensAreThoseOfTheHost) {
  for (int i = 0; i < 300000; ++i) {
    auto level = -41.0 * double(random_() >> 11) * 0x1p-53;
    ASSERT_EQ(cuda::weight_of(level), host::weight_of(level)) << level;
    auto whole = random_() >> (1 + random_() % 60);
    auto point = random_() >> 11;
    auto share = float(random_() % 1001) / 1000;
    ASSERT_EQ(cuda::place_of(whole, point), host::place_of(whole, point));
    ASSERT_EQ(cuda::share_of(whole, share), host::share_of(whole, share));
  }
  for (int i = 0; i < 3000; ++i) {
    auto sum = std::max<uint64_t>(1, random_() >> (random_() % 64));
    ASSERT_EQ(cuda::log2_of(sum), host::log2_of(sum)) << sum;
    ASSERT_EQ(cuda::log_probability(-3.25f, 1.5f, sum),
              host::log_probability(-3.25f, 1.5f, sum));
  }
  EXPECT_EQ(cuda::weight_of(-std::numeric_limits<double>::infinity()), 0u);
  EXPECT_EQ(cuda::share_of(10, 1e-30f), 1u);
}

} // namespace
