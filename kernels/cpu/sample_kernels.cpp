// Loops over the logits of a row. Whatever is said of a value here has the bits
// of kernels/host/token_weights.hpp: the same operations, without fused ones.

#include "kernels/cpu/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sample_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fill.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

HWY_BEFORE_NAMESPACE();

namespace troupe::kernels::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

namespace {

constexpr hn::CappedTag<float, 16> d;
constexpr uint32_t N = hn::MaxLanes(d);
constexpr hn::CappedTag<double, 8> wide;
constexpr hn::RebindToUnsigned<decltype(wide)> whole;
constexpr hn::Rebind<float, decltype(wide)> narrow;
constexpr uint32_t W = hn::MaxLanes(wide);

using vec = hn::Vec<decltype(d)>;
using levels = hn::Vec<decltype(wide)>;
using weights = hn::Vec<decltype(whole)>;

constexpr float infinity = std::numeric_limits<float>::infinity();

/// The `count` logits that are left, filled up with `filling`.
template <class D>
hn::Vec<D> load_tail(D tag, const float* x, uint32_t count, float filling) {
  float padded[hn::MaxLanes(D{})];
  std::fill(std::begin(padded), std::end(padded), filling);
  std::copy_n(x, count, padded);
  return hn::LoadU(tag, padded);
}

/// Calls fn(first id, vector) for all vectors of a row. The tail is filled up
/// with -infinity, which has no weight. `fn` is called from one place, so that
/// it becomes part of the loop.
template <class D, class Fn>
HWY_INLINE void for_vectors(D tag, const float* x, uint32_t count, Fn fn) {
  constexpr uint32_t lanes = hn::MaxLanes(D{});
  for (uint32_t i = 0; i < count; i += lanes)
    fn(i, i + lanes <= count ? hn::LoadU(tag, x + i)
                             : load_tail(tag, x + i, count - i, -infinity));
}

/// What has been seen in some lanes.
struct surveyor {
  surveyor()
    : min(hn::Set(d, infinity)), max(hn::Set(d, -infinity)), bad(hn::Zero(d)) {
  }

  HWY_INLINE void look_at(vec x) {
    // A NaN equals nothing, itself among it.
    bad = hn::IfThenElse(hn::Eq(x, x), bad, x);
    min = hn::Min(min, x);
    max = hn::Max(max, x);
  }

  vec min, max, bad;
};

logit_range survey(const float* x, uint32_t count) {
  surveyor a, b;
  uint32_t i = 0;
  for (; i + 2 * N <= count; i += 2 * N) {
    a.look_at(hn::LoadU(d, x + i));
    b.look_at(hn::LoadU(d, x + i + N));
  }
  for (; i < count; i += N)
    a.look_at(load_tail(d, x + i, std::min(N, count - i), x[i]));
  return {hn::GetLane(hn::MinOfLanes(d, hn::Min(a.min, b.min))),
          hn::GetLane(hn::MaxOfLanes(d, hn::Max(a.max, b.max))),
          !hn::AllTrue(d, hn::Eq(a.bad, a.bad))
            || !hn::AllTrue(d, hn::Eq(b.bad, b.bad))};
}

// -- weights ------------------------------------------------------------------

/// What a loop needs of a range, in vectors.
struct ruler {
  explicit ruler(const level_range& r)
    : max(hn::Set(wide, r.scale.max)), by(hn::Set(wide, r.scale.by)),
      top(hn::Set(wide, r.top)), bottom(hn::Set(wide, r.bottom)),
      low(hn::Set(narrow, r.low)), high(hn::Set(narrow, r.high)) {
  }

  HWY_INLINE levels level_of(hn::Vec<decltype(narrow)> x) const {
    return hn::Mul(hn::Sub(hn::PromoteTo(wide, x), max), by);
  }

  HWY_INLINE bool has_none(hn::Vec<decltype(narrow)> x) const {
    return hn::AllFalse(narrow, hn::And(hn::Ge(x, low), hn::Le(x, high)));
  }

  levels max, by, top, bottom;
  hn::Vec<decltype(narrow)> low, high;
};

/// As host::weight_of, for levels from lowest_level on; anything for others.
/// Above the lowest 52 bits there is more: see round_whole.
HWY_INLINE weights rounded_weight_of(levels level) {
  auto round = hn::Set(wide, host::round_level);
  auto sum = hn::Add(level, round);
  auto f = hn::Sub(level, hn::Sub(sum, round));
  auto f2 = hn::Mul(f, f);
  auto pair = [&](int i) HWY_ATTR {
    auto first = hn::Set(wide, host::exp2_terms[i]);
    auto second = hn::Set(wide, host::exp2_terms[i + 1]);
    return hn::Add(first, hn::Mul(second, f));
  };
  auto low = hn::Add(pair(0), hn::Mul(pair(2), f2));
  auto high = hn::Add(pair(4), hn::Mul(pair(6), f2));
  auto p = hn::Add(low, hn::Mul(high, hn::Mul(f2, f2)));
  auto bits = hn::Add(hn::BitCast(whole, p),
                      hn::ShiftLeft<52>(hn::BitCast(whole, sum)));
  auto one = hn::Set(wide, host::round_whole);
  return hn::BitCast(whole, hn::Add(hn::BitCast(wide, bits), one));
}

uint64_t sum_of(weights x) {
  uint64_t lanes[W];
  hn::StoreU(x, whole, lanes);
  uint64_t sum = 0;
  for (auto y : lanes)
    sum += y;
  return sum;
}

uint64_t sum_weights(const level_range& range) {
  ruler r{range};
  auto sum = hn::Zero(whole);
  auto one = hn::BitCast(whole, hn::Set(wide, host::round_whole));
  for_vectors(narrow, range.logits, range.count, [&](uint32_t, auto x) {
    if (r.has_none(x))
      return;
    auto level = r.level_of(x);
    auto inside = hn::RebindMask(whole, hn::Ge(level, r.bottom));
    auto weight = hn::Sub(rounded_weight_of(level), one);
    sum = hn::Add(sum, hn::IfThenElseZero(inside, weight));
  });
  return sum_of(sum);
}

// -- buckets ------------------------------------------------------------------

/// Weights that wait for their buckets: bits of the bucket below bits of the
/// weight.
struct waiting {
  static constexpr uint32_t room = 256;
  /// So that a weight loses what is above its 52 bits.
  static constexpr int bucket_bits = 12;
  static_assert(num_buckets <= 1 << bucket_bits);

  uint64_t items[room];
  uint32_t count = 0;
};

template <bool with_counts>
HWY_INLINE void put(uint64_t item, uint32_t copy, bucket_sums& into) {
  auto bucket = item % num_buckets;
  auto weight = item >> waiting::bucket_bits;
  into.weights[copy][bucket] += weight;
  if (with_counts)
    into.counts[copy][bucket] += weight > 0;
}

template <bool with_counts>
HWY_INLINE void empty(waiting& from, bucket_sums& into) {
  uint32_t i = 0;
  for (; i + bucket_copies <= from.count; i += bucket_copies) {
    HWY_UNROLL(8)
    for (uint32_t copy = 0; copy < bucket_copies; ++copy)
      put<with_counts>(from.items[i + copy], copy, into);
  }
  for (; i < from.count; ++i)
    put<with_counts>(from.items[i], 0, into);
  from.count = 0;
}

template <bool with_counts>
void fill_buckets(const level_range& range, bucket_sums& into) {
  ruler r{range};
  auto density = hn::Set(wide, range.buckets_of_octave());
  auto round = hn::Set(wide, host::round_whole);
  auto in_bucket = hn::Set(whole, num_buckets - 1);
  waiting items;
  for_vectors(narrow, range.logits, range.count, [&](uint32_t, auto x) {
    if (r.has_none(x))
      return;
    auto level = r.level_of(x);
    auto place = hn::Add(hn::Mul(hn::Sub(r.top, level), density), round);
    auto bucket = hn::And(hn::BitCast(whole, place), in_bucket);
    auto inside = hn::RebindMask(
      whole, hn::And(hn::Ge(level, r.bottom), hn::Le(level, r.top)));
    auto weight = hn::ShiftLeft<waiting::bucket_bits>(rounded_weight_of(level));
    hn::StoreU(hn::Or(hn::IfThenElseZero(inside, weight), bucket), whole,
               items.items + items.count);
    items.count += W;
    if (items.count == waiting::room)
      empty<with_counts>(items, into);
  });
  empty<with_counts>(items, into);
}

// -- finding ------------------------------------------------------------------

picked pick(const pick_args& args) {
  auto low = hn::Set(d, args.low);
  auto high = hn::Set(d, args.high);
  auto min = hn::Set(d, infinity);
  auto max = hn::Set(d, -infinity);
  picked out;
  for_vectors(d, args.logits, args.count, [&](uint32_t first, vec x) {
    auto inside = hn::And(hn::Ge(x, low), hn::Le(x, high));
    if (hn::AllFalse(d, inside))
      return;
    min = hn::Min(min, hn::IfThenElse(inside, x, min));
    max = hn::Max(max, hn::IfThenElse(inside, x, max));
    auto n = out.count;
    out.count += uint32_t(hn::CountTrue(d, inside));
    auto last = std::min(args.count, first + N);
    for (auto i = first; i < last && n < args.max_ids; ++i)
      if (args.logits[i] >= args.low && args.logits[i] <= args.high)
        args.ids[n++] = i;
  });
  out.min = hn::GetLane(hn::MinOfLanes(d, min));
  out.max = hn::GetLane(hn::MaxOfLanes(d, max));
  return out;
}

/// Where the running sum exceeds `place`, one by one.
uint32_t find_one_by_one(const level_range& range, uint64_t& place) {
  for (uint32_t i = 0; i < range.count; ++i) {
    auto level = range.scale.level_of(range.logits[i]);
    auto weight = level >= range.bottom ? host::weight_of(level) : 0;
    if (weight > place)
      return i;
    place -= weight;
  }
  return range.count;
}

uint32_t find_weight(const level_range& range, uint64_t& place) {
  constexpr uint32_t part = 256;
  for (uint32_t first = 0; first < range.count; first += part) {
    auto some = range;
    some.logits += first;
    some.count = std::min(part, range.count - first);
    auto sum = sum_weights(some);
    if (sum > place)
      return first + find_one_by_one(some, place);
    place -= sum;
  }
  return range.count;
}

} // namespace

void fill_sample(kernel_set& set) {
  set.survey = survey;
  set.sum_weights = sum_weights;
  set.fill_weights = fill_buckets<false>;
  set.fill_weights_and_counts = fill_buckets<true>;
  set.pick = pick;
  set.find_weight = find_weight;
}

} // namespace troupe::kernels::cpu::HWY_NAMESPACE

HWY_AFTER_NAMESPACE();
