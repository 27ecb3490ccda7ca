// Every device draws the tokens of the definition, which sorts the row.

#include "kernels/host/token_weights.hpp"
#include "kernels/reference/operations.hpp"
#include "tests/unit/kernels/device_fixture.hpp"

#include <bit>
#include <cmath>
#include <functional>
#include <iterator>
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

std::shared_ptr<const std::vector<logit_edit>>
edits_of(std::vector<logit_edit> edits) {
  return std::make_shared<const std::vector<logit_edit>>(std::move(edits));
}

/// About every third id, each in another way.
std::shared_ptr<const std::vector<logit_edit>> some_edits(uint32_t count,
                                                          uint64_t seed) {
  numbers random{seed};
  std::vector<logit_edit> out;
  for (uint32_t id = 0; id < count; ++id) {
    if (random.below(3) > 0)
      continue;
    logit_edit x{id};
    if (random.below(2))
      x.bias = random.below(8) ? 4 * random.normal() : -infinity;
    if (random.below(2))
      x.repetition = std::exp(random.normal());
    if (random.below(2))
      x.penalty = random.normal();
    out.push_back(x);
  }
  return edits_of(std::move(out));
}

/// About one of `of` ids.
std::shared_ptr<const std::vector<uint64_t>>
some_ids(uint32_t count, uint64_t seed, uint32_t of) {
  numbers random{seed};
  std::vector<uint64_t> out((count + 63) / 64);
  for (uint32_t id = 0; id < count; ++id)
    out[id / 64] |= uint64_t{random.below(of) == 0} << (id % 64);
  return std::make_shared<const std::vector<uint64_t>>(std::move(out));
}

/// What a draw gives: its token, then its scores.
struct drawn_row {
  int32_t id = no_token;
  std::vector<int32_t> score_ids;
  std::vector<uint32_t> scores; ///< Bits.

  friend bool operator==(const drawn_row&, const drawn_row&) = default;
};

class Sample : public on_every_device {
protected:
  /// As the definition has it.
  static drawn_row defined(const matrix& logits, const draw& how) {
    drawn_row out;
    auto row = logits.row(how.row);
    out.id = how.given == no_token ? reference::choose(row, how) : how.given;
    for (auto& x : reference::scores(row, how, out.id)) {
      out.score_ids.push_back(x.id);
      out.scores.push_back(std::bit_cast<uint32_t>(x.score));
    }
    return out;
  }

  static std::vector<drawn_row>
  drawn_with_scores(workbench& b, const matrix& logits,
                    const std::vector<draw>& draws, uint32_t width) {
    auto n = uint32_t(draws.size());
    sample op{b.put(logits), draws, b.make(dtype::i32, n, 1),
              b.make(dtype::f32, n, width), b.make(dtype::i32, n, width)};
    b.run(op);
    auto ids = b.get(op.ids);
    auto scores = b.get(op.scores);
    auto score_ids = b.get(op.score_ids);
    std::vector<drawn_row> out(n);
    for (uint32_t i = 0; i < n; ++i) {
      out[i].id = int32_t(ids.row(i)[0]);
      for (uint32_t k = 0; k < draws[i].num_scores; ++k) {
        out[i].score_ids.push_back(int32_t(score_ids.row(i)[k]));
        out[i].scores.push_back(std::bit_cast<uint32_t>(scores.row(i)[k]));
      }
    }
    return out;
  }

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
  if (!is_on_fibers)
    return out;
  std::vector<draw> some; // a draw is 256 fibers
  for (size_t i = seed % 31; i < out.size(); i += 31)
    some.push_back(out[i]);
  return some;
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

// -- min_p --------------------------------------------------------------------

TEST_P(Sample, DropsWhatHasLessThanMinPOfTheLargest) {
  for (auto& from : families)
    for (uint32_t count : lengths({1, 2, 16, 33, 1031})) {
      auto seed = 77 * count + uint64_t(&from - families);
      SCOPED_TRACE(testing::Message()
                   << from.name << ", " << count << ", seed " << seed);
      auto draws = many_draws(count, seed);
      constexpr float some[] = {1e-30f, 1e-3f, 0.05f, 0.5f, 0.999999f, 1};
      for (size_t i = 0; i < draws.size(); ++i)
        draws[i].min_p = some[i % std::size(some)];
      auto logits = logits_of(from, count, seed);
      ASSERT_NO_FATAL_FAILURE(expect_definition(logits, draws));
    }
}

TEST_P(Sample, AMinPOfAHalfKeepsExactlyThoseWithHalfTheProbability) {
  auto ln2 = std::log(2.0f);
  matrix logits{1, 4, {0, -0.999f * ln2, -1.001f * ln2, -50}};
  for (auto point : {uint64_t{0}, last_point}) {
    draw how{0, 4, 1, 1, 0, point, 0.5f};
    EXPECT_EQ(drawn(bench, logits, {how})[0], point ? 1 : 0);
  }
}

// -- edits --------------------------------------------------------------------

TEST_P(Sample, ChoosesFromEditedLogitsAndLeavesThemAsTheyWere) {
  for (auto& from : families)
    for (uint32_t count : lengths({1, 2, 16, 33, 300})) {
      auto seed = 55 * count + uint64_t(&from - families);
      SCOPED_TRACE(testing::Message()
                   << from.name << ", " << count << ", seed " << seed);
      auto logits = logits_of(from, count, seed);
      auto draws = many_draws(count, seed);
      for (size_t i = 0; i < draws.size(); i += 2)
        draws[i].edits = some_edits(count, seed + i);
      ASSERT_NO_FATAL_FAILURE(expect_definition(logits, draws));
    }
}

TEST_P(Sample, ChoosesWhatIsAllowedAlone) {
  for (auto& from : families)
    for (uint32_t count : lengths({1, 2, 16, 64, 65, 300})) {
      auto seed = 56 * count + uint64_t(&from - families);
      SCOPED_TRACE(testing::Message()
                   << from.name << ", " << count << ", seed " << seed);
      auto logits = logits_of(from, count, seed);
      auto draws = many_draws(count, seed);
      for (size_t i = 0; i < draws.size(); ++i) {
        if (i % 3 == 0)
          draws[i].edits = some_edits(count, seed + i);
        if (i % 4 > 0)
          draws[i].allowed = some_ids(count, seed + i, 1 << 3 * (i % 4 - 1));
      }
      ASSERT_NO_FATAL_FAILURE(expect_definition(logits, draws));
    }
}

TEST_P(Sample, WhatIsNotAllowedHasNoWeightButCounts) {
  auto choice = [&](const std::vector<float>& row, uint64_t allowed) {
    matrix logits{1, uint32_t(row.size()), row};
    draw how{0, logits.cols, 0};
    how.allowed
      = std::make_shared<const std::vector<uint64_t>>(std::vector{allowed});
    return drawn(bench, logits, {how})[0];
  };
  EXPECT_EQ(choice({1, 2, 3}, 0b011), 1);
  EXPECT_EQ(choice({1, 2, 3}, 0b001), 0);
  EXPECT_EQ(choice({1, 2, 3}, 0), no_token);
  EXPECT_EQ(choice({1, std::nanf(""), 3}, 0b101), no_token);
  EXPECT_EQ(choice({1, infinity}, 0b01), no_token);
}

TEST_P(Sample, EditsInTheOrderThatIsWritten) {
  auto choice = [&](const std::vector<float>& row, logit_edit x) {
    matrix logits{1, uint32_t(row.size()), row};
    draw how{0, logits.cols, 0};
    how.edits = edits_of({x});
    return drawn(bench, logits, {how})[0];
  };
  EXPECT_EQ(choice({1, 2}, {.id = 0, .bias = 1.5f}), 0);
  EXPECT_EQ(choice({1, 2}, {.id = 1, .penalty = 1.5f}), 0);
  EXPECT_EQ(choice({1.5f, 2}, {.id = 1, .repetition = 2}), 0);
  EXPECT_EQ(choice({-3, -2}, {.id = 1, .repetition = 2}), 0);
  EXPECT_EQ(choice({-3, -2}, {.id = 0, .repetition = 0.5f}), 0);
  // (2 + 2) / 2 - 1.5 is the less, 2 / 2 + 2 - 1.5 would be the more.
  EXPECT_EQ(choice({1, 2}, {1, 2, 2, 1.5f}), 0);
  EXPECT_EQ(choice({-10, 100}, {.id = 1, .bias = -infinity}), 0);
  EXPECT_EQ(choice({-infinity, 1}, {.id = 1, .bias = -infinity}), no_token);
  EXPECT_EQ(choice({1, infinity}, {.id = 1, .bias = -infinity}), no_token);
}

// -- scores -------------------------------------------------------------------

TEST_P(Sample, ScoresAreThoseOfTheDefinitionWhateverIsEdited) {
  for (auto& from : families)
    for (uint32_t count : lengths({1, 2, 7, 33, 1031})) {
      auto seed = 99 * count + uint64_t(&from - families);
      SCOPED_TRACE(testing::Message()
                   << from.name << ", " << count << ", seed " << seed);
      numbers random{seed};
      auto logits = logits_of(from, count, seed);
      std::vector<draw> draws;
      for (uint32_t num_scores : {1u, 2u, 6u, 21u})
        for (bool edited : {false, true}) {
          draw how{0, count, 0.7f, 0.9f, 0, random.next() >> 11};
          how.num_scores = num_scores;
          if (edited) {
            how.edits = some_edits(count, seed + num_scores);
            how.allowed = some_ids(count, seed + num_scores, 2);
          }
          draws.push_back(how);
          how.given = int32_t(random.below(count));
          draws.push_back(how);
        }
      auto got = drawn_with_scores(bench, logits, draws, 21);
      for (size_t i = 0; i < draws.size(); ++i) {
        if (reference::choose(logits.row(0), draws[i]) == no_token) {
          continue; // all are forbidden
        }
        ASSERT_EQ(got[i], defined(logits, draws[i])) << i;
      }
    }
}

TEST_P(Sample, ScoresAreLogarithmsOfProbabilities) {
  auto logits = logits_of(families[0], 300, 3);
  double sum = 0;
  for (auto x : logits.values)
    sum += std::exp(double(x));
  draw how{0, 300};
  how.given = 17;
  how.num_scores = 301;
  auto got = drawn_with_scores(bench, logits, {how}, 301)[0];
  double total = 0;
  for (size_t i = 0; i < got.scores.size(); ++i) {
    auto score = double(std::bit_cast<float>(got.scores[i]));
    auto logit = double(logits.values[size_t(got.score_ids[i])]);
    EXPECT_NEAR(score, logit - std::log(sum), 1e-6);
    total += i > 0 ? std::exp(score) : 0;
  }
  EXPECT_NEAR(total, 1, 1e-5);
}

TEST_P(Sample, AGivenTokenIsNoneWhereNothingCouldBeChosen) {
  matrix logits{1, 3, {1, std::nanf(""), 2}};
  draw how{0, 3};
  how.given = 2;
  how.num_scores = 1;
  EXPECT_EQ(drawn_with_scores(bench, logits, {how}, 1)[0].id, no_token);
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

TEST(TokenWeights, LogarithmsAreThoseOfTheLibrary) {
  numbers random{6};
  for (int i = 0; i < 20000; ++i) {
    auto x = std::max<uint64_t>(1, random.next() >> random.below(64));
    ASSERT_NEAR(host::log2_of(x), double(std::log2((long double)(x))), 0x1p-43)
      << x;
  }
  for (int n = 0; n < 64; ++n)
    EXPECT_EQ(host::log2_of(uint64_t{1} << n), n);
  for (float p : {1e-38f, 1e-12f, 1e-11f, 0.05f, 0.3f, 0.5f, 0.75f, 1.0f}) {
    auto want = std::clamp(std::log2(double(p)), host::lowest_level, -0x1p-40);
    EXPECT_NEAR(host::level_of_share(p), want, 1e-12) << p;
  }
  EXPECT_EQ(host::level_of_share(0), host::lowest_level);
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
