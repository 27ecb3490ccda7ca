// The BF16 dot product: what it is, that a machine's own is it before it is
// used, and that every path of the target that has it sums in the same order.

#include "kernels/cpu/dot_choice.hpp"
#include "kernels/cpu/fill.hpp"
#include "kernels/cpu_targets.hpp"
#include "kernels/host/pair_dot.hpp"
#include "tests/unit/kernels/kernel_fixture.hpp"

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

constexpr auto target = "avx512-bf16";
constexpr uint32_t lanes = 16;

bool is_here() {
  return cpu::make_kernel_set(target).name == target;
}

uint32_t word(float low, float high) {
  return host::to_bf16(low) | uint32_t{host::to_bf16(high)} << 16;
}

uint32_t bits(float x) {
  return std::bit_cast<uint32_t>(x);
}

} // namespace

TEST(PairDot, IsTwoMultiplyAddsTheHighHalvesFirst) {
  EXPECT_EQ(host::add_pair(1, word(2, 3), word(5, 7)), 1 + 21 + 10);
  // One is lost beside 2^24, and is not once that is gone.
  EXPECT_EQ(host::add_pair(0x1p24f, word(-4096, 1), word(4096, 1)), 0);
  EXPECT_EQ(host::add_pair(0x1p24f, word(1, -4096), word(1, 4096)), 1);
}

TEST(PairDot, SubnormalNumbersAreZero) {
  EXPECT_EQ(bits(host::add_pair(0x1p-127f, 0, 0)), 0u);
  EXPECT_EQ(host::add_pair(0, word(0x1p-130f, 0), word(1, 0)), 0);
  EXPECT_EQ(host::add_pair(0, word(0x1p-64f, 0), word(0x1p-63f, 0)), 0);
  EXPECT_EQ(host::add_pair(0, word(0x1p-63f, 0), word(0x1p-63f, 0)), 0x1p-126f);
  // After the first product, too: half of the smallest number is not kept.
  EXPECT_EQ(
    host::add_pair(0, word(0x1p-63f, 0x1p-64f), word(0x1p-63f, 0x1p-63f)),
    0x1p-126f);
}

TEST(PairDot, IsWhatThisMachineComputes) {
  if (!cpu::has_dot())
    return; // none here
  ASSERT_TRUE(cpu::has_defined_dot());
  numbers random{42};
  for (uint32_t i = 0; i < 20000; ++i) {
    uint32_t a[lanes], b[lanes];
    float got[lanes], want[lanes];
    for (uint32_t j = 0; j < lanes; ++j) {
      // Anything, or exponents within some octaves of each other.
      auto near = [&](uint32_t x) {
        return i % 2 ? x : (x & 0x87ff87ff) | 0x38003800;
      };
      a[j] = near(uint32_t(random.next()));
      b[j] = near(uint32_t(random.next()));
      got[j] = std::bit_cast<float>(near(uint32_t(random.next())));
      want[j] = host::add_pair(got[j], a[j], b[j]);
    }
    cpu::add_pairs(a, b, got);
    for (uint32_t j = 0; j < lanes; ++j)
      ASSERT_TRUE(bits(got[j]) == bits(want[j])
                  || (std::isnan(got[j]) && std::isnan(want[j])))
        << i << ": " << std::hex << a[j] << ", " << b[j];
  }
}

// -- the choice ---------------------------------------------------------------

TEST(DotChoice, IsByTheQuickestBurstOfEach) {
  // One dot product in the time of one multiply-add; neighbours in between.
  uint64_t fma[] = {2000, 9000, 2100, 2050};
  uint64_t dot[] = {5000, 1010, 1700, 8000};
  EXPECT_NEAR(cpu::dot_gain({fma, dot}), 2000 / 1010.0, 1e-9);
  EXPECT_GE(cpu::dot_gain({fma, dot}), cpu::enough_gain);
  EXPECT_NEAR(cpu::dot_gain({dot, fma}), 1010 / 2000.0, 1e-9);
  EXPECT_LT(cpu::dot_gain({dot, fma}), cpu::enough_gain);
  uint64_t none[] = {0};
  EXPECT_TRUE(std::isfinite(cpu::dot_gain({fma, none})));
}

TEST(DotChoice, IsOneForAllDevicesOfAProcess) {
  auto best = std::string{cpu::make_kernel_set("best").name};
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(make_cpu_device({})->target(), "cpu/" + best);
  auto all = cpu_targets();
  EXPECT_NE(std::ranges::find(all, best), all.end());
  if (is_here()) {
    EXPECT_EQ(best == target, cpu::has_fast_dot());
  }
}

// -- order of sums ------------------------------------------------------------

/// `linear` as lanes sum it: pairs of each block ascending, blocks ascending.
TEST(DotOrder, OfProductsIsThatOfPairs) {
  if (!is_here())
    return; // this machine lacks the target
  constexpr uint32_t n = 37, k = 300, most = 30;
  workbench bench{make_device(std::string{"cpu/"} + target)};
  auto raw = random_weight(dtype::bf16, n, k, 1, 7);
  auto weight_of = [&](uint32_t row, uint32_t pair) {
    uint32_t out;
    std::memcpy(&out, raw.values.data() + (row * k + 2 * pair) * 2, 4);
    return out;
  };
  auto w = bench.put_weight(raw);
  auto x = random_matrix(most, k, 8);
  for (uint32_t rows : {1, 2, 7, 12, 13, 30}) {
    matrix some{rows, k, {x.values.begin(), x.values.begin() + rows * k}};
    auto out = bench.make(dtype::f32, rows, n);
    bench.run(linear{bench.put_operand(some, dtype::bf16), w, {}, out});
    auto got = bench.get(out);
    for (uint32_t r = 0; r < rows; ++r)
      for (uint32_t i = 0; i < n; ++i) {
        float want = 0;
        for (uint32_t p = 0; p < k / 2; ++p)
          want = host::add_pair(
            want, word(x.row(r)[2 * p], x.row(r)[2 * p + 1]), weight_of(i, p));
        ASSERT_EQ(bits(got.row(r)[i]), bits(want))
          << rows << ": " << r << ", " << i;
      }
  }
}

/// Few rows widen FP8 codes in registers, many through a cache.
TEST(DotOrder, OfScaledBlocksIsThatOfPairs) {
  if (!is_here())
    return; // this machine lacks the target
  constexpr uint32_t n = 33, k = 5 * scale_block, most = 20;
  workbench bench{make_device(std::string{"cpu/"} + target)};
  auto raw = random_weight(dtype::f8_e4m3, n, k, 1, 7);
  auto value_of = [&](uint32_t row, uint32_t i) {
    return host::from_e4m3(uint8_t(raw.values[row * k + i]));
  };
  auto w = bench.put_weight(raw);
  auto x = random_matrix(most, k, 8);
  auto operand = bench.put_operand(x, dtype::f8_e4m3);
  auto codes = bench.get(operand.values);
  auto scales = bench.get(operand.scales);
  for (uint32_t rows : {1, 2, 3, 8, 9, 20}) {
    auto out = bench.make(dtype::f32, rows, n);
    activation some{operand.values, operand.scales};
    some.values.rows = some.scales.rows = rows;
    bench.run(linear{some, w, {}, out});
    auto got = bench.get(out);
    for (uint32_t r = 0; r < rows; ++r)
      for (uint32_t i = 0; i < n; ++i) {
        float want = 0;
        for (uint32_t b = 0; b < k / scale_block; ++b) {
          float sum = 0;
          for (auto c = b * scale_block; c < (b + 1) * scale_block; c += 2)
            sum = host::add_pair(sum,
                                 word(codes.row(r)[c], codes.row(r)[c + 1]),
                                 word(value_of(i, c), value_of(i, c + 1)));
          want = std::fma(sum * scales.row(r)[b],
                          raw.scales[i / scale_block * (k / scale_block) + b],
                          want);
        }
        ASSERT_EQ(bits(got.row(r)[i]), bits(want))
          << rows << ": " << r << ", " << i;
      }
  }
}

/// Lanes of 32 columns, then lanes 8, 4, 2 and 1 apart.
float score_of(const uint16_t* q, const uint16_t* key, uint32_t width) {
  float sums[lanes] = {};
  for (uint32_t i = 0; i < width; i += 2) {
    uint32_t a, b;
    std::memcpy(&a, q + i, 4);
    std::memcpy(&b, key + i, 4);
    auto& sum = sums[i / 2 % lanes];
    sum = host::add_pair(sum, a, b);
  }
  for (uint32_t apart = lanes / 2; apart > 0; apart /= 2)
    for (uint32_t i = 0; i < apart; ++i)
      sums[i] += sums[i + apart];
  return sums[0];
}

TEST(DotOrder, OfScoresIsOneWhateverTheRowsAndKeys) {
  if (!is_here())
    return; // this machine lacks the target
  constexpr uint32_t width = 96, num_keys = 19;
  auto kernels = cpu::make_kernel_set(target);
  numbers random{5};
  auto fill = [&](uint32_t count) {
    std::vector<uint16_t> out(count);
    for (auto& x : out)
      x = host::to_bf16(random.normal());
    return out;
  };
  auto keys = fill(num_keys * width);
  auto q = fill(cpu::max_attention_rows * width);
  for (uint32_t rows = 1; rows <= cpu::max_attention_rows; ++rows)
    for (uint32_t count : {1u, 2u, 5u, num_keys}) {
      std::vector<uint16_t> packed;
      for (uint32_t i = 0; i < width; i += cpu::column_group)
        for (uint32_t r = 0; r < rows; ++r)
          packed.insert(packed.end(), q.begin() + r * width + i,
                        q.begin() + r * width + i + cpu::column_group);
      std::vector<float> out(rows * cpu::split_keys);
      cpu::score_args args;
      args.q_pairs = packed.data();
      args.keys = reinterpret_cast<const std::byte*>(keys.data());
      args.stride = width * 2;
      args.num_keys = count;
      args.width = width;
      args.next = {args.keys, 0};
      args.out = out.data();
      kernels.score_pairs[rows](args);
      for (uint32_t r = 0; r < rows; ++r)
        for (uint32_t j = 0; j < count; ++j)
          ASSERT_EQ(bits(out[r * cpu::split_keys + j]),
                    bits(score_of(q.data() + r * width, keys.data() + j * width,
                                  width)))
            << rows << " rows, " << count << " keys: " << r << ", " << j;
    }
}
