#include "runtime/sampling.hpp"

#include "kernels/check.hpp"
#include "runtime/philox.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace troupe {

namespace {

constexpr double ln2_high = 0x1.62e42fee00000p-1; // 32 bits, n * this is exact
constexpr double ln2_low = 0x1.a39ef35793c76p-33;
constexpr int num_terms = 14;

/// exp of x <= 0 within 2^-51, from operations that IEEE 754 defines to the
/// last bit: a C library's exp differs from machine to machine, and with it
/// the token, now and then.
double exp_of_negative(double x) {
  if (x < -745)
    return 0;
  double n = std::nearbyint(x * 0x1.71547652b82fep+0);
  double r = (x - n * ln2_high) - n * ln2_low;
  double sum = 1;
  for (int i = num_terms; i > 0; --i)
    sum = 1 + r / i * sum;
  return std::ldexp(sum, static_cast<int>(n));
}

/// The first of the largest, if there is a finite one and no NaN. Lanes of
/// their own, since a vocabulary is long and a step may sample many rows.
std::optional<size_t> largest(std::span<const float> logits) {
  constexpr size_t lanes = 16;
  float tops[lanes];
  int32_t bad[lanes] = {};
  std::fill_n(tops, lanes, -std::numeric_limits<float>::infinity());
  auto look_at = [&](size_t lane, float x) {
    tops[lane] = x > tops[lane] ? x : tops[lane];
    bad[lane] |= x != x;
  };
  size_t i = 0;
  for (; i + lanes <= logits.size(); i += lanes)
    for (size_t l = 0; l < lanes; ++l)
      look_at(l, logits[i + l]);
  for (; i < logits.size(); ++i)
    look_at(0, logits[i]);
  auto top = *std::max_element(tops, tops + lanes);
  auto any_bad = std::accumulate(bad, bad + lanes, 0) > 0;
  if (any_bad || !std::isfinite(top))
    return std::nullopt;
  auto first = std::find(logits.begin(), logits.end(), top);
  return static_cast<size_t>(first - logits.begin());
}

/// exp((logit - max) / temperature), not normalised.
std::vector<double> weights_of(std::span<const float> logits, double max,
                               double temperature) {
  std::vector<double> weights(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    weights[i] = exp_of_negative((logits[i] - max) / temperature);
  return weights;
}

/// Sorts the ids in [begin, begin + count) of `ids` to be the largest of
/// [begin, end), largest first, ties in order of id.
void sort_largest(std::span<uint32_t> ids, size_t begin, size_t count,
                  std::span<const float> logits) {
  auto before = [&](uint32_t a, uint32_t b) {
    auto x = logits[a];
    auto y = logits[b];
    return x != y ? x > y : a < b;
  };
  auto first = ids.begin() + static_cast<ptrdiff_t>(begin);
  auto last = first + static_cast<ptrdiff_t>(count);
  if (last != ids.end())
    std::nth_element(first, last, ids.end(), before);
  std::sort(first, last, before);
}

/// How many of the largest of `ids`, which become sorted, have `share` of the
/// weight. Sorts four times as many each time, since few are enough as a rule.
size_t nucleus(std::span<uint32_t> ids, std::span<const float> logits,
               std::span<const double> weights, double share) {
  double total = 0;
  for (auto id : ids)
    total += weights[id];
  double sum = 0;
  size_t num_sorted = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i == num_sorted) {
      auto count = std::min(std::max<size_t>(64, 3 * i), ids.size() - i);
      sort_largest(ids, i, count, logits);
      num_sorted += count;
    }
    sum += weights[ids[i]];
    if (sum >= share * total)
      return i + 1;
  }
  return ids.size();
}

/// Sets the weights of all but the allowed tokens to zero.
void restrict(std::span<const float> logits, const sampling_params& params,
              std::vector<double>& weights) {
  auto num = static_cast<uint32_t>(weights.size());
  bool use_top_k = params.top_k > 0 && params.top_k < num;
  if (!use_top_k && params.top_p >= 1)
    return;
  std::vector<uint32_t> ids(num);
  std::iota(ids.begin(), ids.end(), 0);
  size_t keep = num;
  if (use_top_k) {
    sort_largest(ids, 0, params.top_k, logits);
    keep = params.top_k;
  }
  // Sums run in order of the sorted ids, or of all ids: never in an order that
  // the standard library chose.
  if (params.top_p < 1)
    keep = nucleus(std::span{ids}.first(keep), logits, weights, params.top_p);
  for (auto id : std::span{ids}.subspan(keep))
    weights[id] = 0;
}

/// Returns the first id at which the running sum exceeds `u` of the whole.
int32_t invert(std::span<const double> weights, double u) {
  double target = u * std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  size_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0)
      continue;
    sum += weights[i];
    last = i;
    if (sum > target)
      break;
  }
  return static_cast<int32_t>(last);
}

} // namespace

double uniform(uint64_t seed, uint64_t position) {
  auto bits = philox4x32(
    {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), 0,
     0},
    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  auto x = uint64_t{bits[1]} << 32 | bits[0];
  return static_cast<double>(x >> 11) * 0x1p-53;
}

std::optional<int32_t>
sample(std::span<const float> logits, uint32_t num_choices,
       const sampling_params& params, uint32_t position) {
  CHECK(num_choices > 0 && num_choices <= logits.size());
  logits = logits.first(num_choices);
  auto best = largest(logits);
  if (!best)
    return std::nullopt;
  if (params.temperature <= 0)
    return static_cast<int32_t>(*best);
  auto weights = weights_of(logits, logits[*best], params.temperature);
  restrict(logits, params, weights);
  return invert(weights, uniform(params.seed, position));
}

failure no_choice(uint32_t position) {
  return {errc::step_failed, "the model computed no finite logits for token "
                               + std::to_string(position) + " of the answer"};
}

} // namespace troupe
