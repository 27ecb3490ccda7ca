// Every device draws the tokens of the definition, which sorts the row.

#include "kernels/host/token_weights.hpp"
#include "kernels/reference/operations.hpp"
#include "tests/unit/kernels/device_fixture.hpp"

#include <functional>
#include <limits>

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr uint64_t last_point = (uint64_t{1} << 53) - 1;

/// A family of logits: one of them from a random source.
struct family {
  const char* name;
  float (*logit)(numbers&);
};

const family families[] = {
  {"random", [](numbers& r) { return 3 * r.normal(); }},
  {"flat", [](numbers& r) { return 1e-3f * r.normal(); }},
  {"peaked",
   [](numbers& r) { return r.below(50) == 0 ? 20 + r.normal() : r.normal(); }},
  {"equal", [](numbers&) { return -7.25f; }},
  {"tied", [](numbers& r) { return float(r.below(4)); }},
  {"nearly equal",
   [](numbers& r) { return std::nextafter(2.0f, r.below(2) ? 3.0f : 2.0f); }},
  {"of bf16", [](numbers& r) { return host::round_to_bf16(r.normal()); }},
  {"tiny", [](numbers& r) { return r.normal() * 1e-42f; }},
  {"huge", [](numbers& r) { return r.below(2) ? 3.4e38f : -3.4e38f; }},
  {"signed zeros", [](numbers& r) { return r.below(2) ? 0.0f : -0.0f; }},
  {"of every size",
   [](numbers& r) { return -std::ldexp(1.0f, int(r.below(250)) - 140); }},
  {"masked",
   [](numbers& r) { return r.below(3) ? -infinity : 3 * r.normal(); }},
  {"masked and flat",
   [](numbers& r) { return r.below(3) ? -infinity : 1e-3f * r.normal(); }},
  {"with an outlier",
   [](numbers& r) { return r.below(900) ? 1e-4f * r.normal() : -30.0f; }},
};

matrix logits_of(const family& from, uint32_t count, uint64_t seed) {
  numbers random{seed};
  matrix out{1, count, std::vector<float>(count)};
  for (auto& x : out.values)
    x = from.logit(random);
  out.values[random.below(count)] = 0; // not all masked
  return out;
}

class Sample : public on_every_device {
protected:
  static std::vector<int32_t> drawn(workbench& b, const matrix& logits,
                                    const std::vector<draw>& draws) {
    sample op{b.put(logits), draws,
              b.make(dtype::i32, uint32_t(draws.size()), 1)};
    b.run(op);
    std::vector<int32_t> out;
    for (auto x : b.get(op.ids).values)
      out.push_back(int32_t(x));
    return out;
  }

  void expect_definition(const matrix& logits, const std::vector<draw>& draws) {
    auto got = drawn(bench, logits, draws);
    for (size_t i = 0; i < draws.size(); ++i) {
      auto& x = draws[i];
      ASSERT_EQ(got[i], reference::choose(logits.row(x.row), x))
        << "temperature " << x.temperature << " top_p " << x.top_p << " top_k "
        << x.top_k << " point " << x.point << " of " << x.num_choices;
    }
  }
};

TROUPE_ON_EVERY_DEVICE(Sample);

/// All combinations, each at the ends and at a random point.
std::vector<draw> many_draws(uint32_t count, uint64_t seed) {
  numbers random{seed};
  std::vector<draw> out;
  for (float temperature : {0.0f, 1e-40f, 0.05f, 0.6f, 1.0f, 100.0f, 1e30f})
    for (float top_p : {1e-9f, 0.3f, 0.5f, 0.95f, 0.99999f, 1.0f})
      for (uint32_t top_k : {0u, 1u, 2u, 40u, 400u, count - 1, count + 1})
        for (auto point : {uint64_t{0}, random.next() >> 11, last_point})
          out.push_back({0, count, temperature, top_p, top_k, point});
  return out;
}

TEST_P(Sample, ChoosesWhatTheDefinitionChooses) {
  for (auto& from : families)
    for (uint32_t count : lengths({1, 2, 7, 8, 16, 33, 300, 1031})) {
      auto seed = 1000 * count + uint64_t(&from - families);
      SCOPED_TRACE(testing::Message()
                   << from.name << ", " << count << ", seed " << seed);
      auto logits = logits_of(from, count, seed);
      ASSERT_NO_FATAL_FAILURE(
        expect_definition(logits, many_draws(count, seed)));
    }
}

TEST_P(Sample, ChoosesWhatTheDefinitionChoosesInALargeVocabulary) {
  if (is_sanitized)
    return;
  for (auto& from : families)
    for (uint32_t count : {20011u, 129280u}) {
      auto seed = count + uint64_t(&from - families);
      SCOPED_TRACE(testing::Message()
                   << from.name << ", " << count << ", seed " << seed);
      numbers random{seed};
      auto point = [&] { return random.next() >> 11; };
      auto logits = logits_of(from, count, seed);
      ASSERT_NO_FATAL_FAILURE(expect_definition(
        logits, {{0, count, 0.6f, 0.95f, 0, point()},
                 {0, count, 0.6f, 0.95f, 0, last_point},
                 {0, count, 1.0f, 1.0f, 0, point()},
                 {0, count, 0.6f, 0.95f, 5000, point()},
                 {0, count - 3, 2.0f, 1.0f, 9999, last_point}}));
    }
}

TEST_P(Sample, ChoosesNothingWhereALogitIsNaNOrTheLargestIsInfinite) {
  for (float temperature : {0.0f, 1.0f})
    for (uint32_t count : {1u, 16u, 17u, 50u})
      for (uint32_t at = 0; at < count; ++at) {
        draw how{0, count, temperature, 0.9f, 2, 77};
        for (float bad : {std::nanf(""), -std::nanf(""), infinity}) {
          matrix logits{1, count, std::vector<float>(count, 1.0f)};
          logits.values[at] = bad;
          ASSERT_EQ(drawn(bench, logits, {how})[0], no_token)
            << bad << " at " << at << " of " << count;
        }
        matrix logits{1, count, std::vector<float>(count, -infinity)};
        ASSERT_EQ(drawn(bench, logits, {how})[0], no_token);
        logits.values[at] = 1; // forbidden tokens are no fault
        ASSERT_EQ(drawn(bench, logits, {how})[0], int32_t(at));
      }
}

TEST_P(Sample, LooksAtItsRowAndItsChoicesAlone) {
  matrix logits{3, 40, std::vector<float>(120, std::nanf(""))};
  for (uint32_t i = 0; i < 17; ++i)
    logits.row(1)[i] = float(i % 5);
  EXPECT_EQ(drawn(bench, logits,
                  {{2, 40, 0},
                   {1, 17, 0},
                   {1, 17, 1, 1, 0, last_point},
                   {1, 18, 1},
                   {0, 1, 1}}),
            (std::vector<int32_t>{no_token, 4, 16, no_token, no_token}));
}

TEST_P(Sample, NoDrawsAreNoWork) {
  EXPECT_TRUE(drawn(bench, random_matrix(1, 9, 1), {}).empty());
}

// -- weights ------------------------------------------------------------------

TEST(TokenWeights, ArePowersOfTwoToTheNearestWholeNumber) {
  numbers random{5};
  for (int i = 0; i < 100000; ++i) {
    auto level = -40.0 * double(random.next() >> 11) * 0x1p-53;
    auto exact = std::exp2(level + host::weight_bits);
    auto weight = host::weight_of(level);
    if (level < host::lowest_level)
      EXPECT_EQ(weight, 0u) << level;
    else
      EXPECT_NEAR(double(weight), exact, 0.5001 + exact * 0x1p-33) << level;
  }
  for (int n = 0; n <= host::weight_bits; ++n)
    EXPECT_EQ(host::weight_of(-n), uint64_t{1} << (host::weight_bits - n));
  EXPECT_EQ(host::weight_of(std::nextafter(host::lowest_level, -100.0)), 0u);
  EXPECT_EQ(host::weight_of(-std::numeric_limits<double>::infinity()), 0u);
}

TEST(TokenWeights, HaveASumForTheLargestVocabulary) {
  auto all = uint64_t{host::max_choices} * host::weight_of(0);
  EXPECT_EQ(all, uint64_t{1} << 63);
  EXPECT_EQ(host::share_of(all, 1), all);
  EXPECT_EQ(host::share_of(all, 0.5f), all / 2);
  EXPECT_EQ(host::place_of(all, last_point), all - (all >> 53));
}

TEST(TokenWeights, AShareIsTheLeastThatIsEnough) {
  EXPECT_EQ(host::share_of(10, 0.5f), 5u);
  EXPECT_EQ(host::share_of(11, 0.5f), 6u);
  EXPECT_EQ(host::share_of(10, 1e-30f), 1u);
  EXPECT_EQ(host::place_of(10, 0), 0u);
  EXPECT_EQ(host::place_of(10, last_point), 9u);
}

} // namespace
