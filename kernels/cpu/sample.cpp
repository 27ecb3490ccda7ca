// From logits to a token in time linear in the vocabulary: nothing is sorted
// but a few ids. Levels of a row (kernels/host/token_weights.hpp) go into
// buckets, whose sums say in which of them the cut of top_k or top_p lies; then
// the same with the ids of that bucket alone, until they are few or all equal.
// A cut is a level and an id, so that what is kept needs no list.

#include "kernels/check.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/host/host_memory.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <span>

namespace troupe::kernels::cpu {

namespace {

constexpr float largest_float = std::numeric_limits<float>::max();

/// Ids above `level` are kept, and those at it up to `last`.
struct cut {
  double level = host::lowest_level;
  uint32_t last = 0;
  uint64_t weight = 0; ///< Of all that is kept.
  float low = 0;       ///< No logit below this is kept.
};

/// What a cut is measured by.
enum class measure : uint8_t { count, weight };

/// How much lies in buckets, or before a place.
struct amount {
  uint64_t weight = 0;
  uint64_t count = 0;

  void add(const amount& more) {
    weight += more.weight;
    count += more.count;
  }

  uint64_t by(measure how) const {
    return how == measure::count ? count : weight;
  }
};

amount in_bucket(const bucket_sums& all, uint32_t i) {
  amount out;
  for (uint32_t copy = 0; copy < bucket_copies; ++copy)
    out.add({all.weights[copy][i], all.counts[copy][i]});
  return out;
}

/// Floats as whole numbers in the same order; neighbours differ by one.
int64_t rank_of(float x) {
  auto bits = std::bit_cast<int32_t>(x);
  return bits < 0 ? int64_t{bits ^ 0x7fffffff} : bits;
}

float of_rank(int64_t rank) {
  auto bits = static_cast<int32_t>(rank);
  return std::bit_cast<float>(bits < 0 ? bits ^ 0x7fffffff : bits);
}

/// A row with the edits of a draw while this lives.
class edited_row {
public:
  edited_row(float* logits, const draw& how) : logits_(logits) {
    if (!how.edits)
      return;
    before_.reserve(how.edits->size());
    for (auto& x : *how.edits) {
      if (x.id >= how.num_choices)
        break;
      auto& logit = logits[x.id];
      before_.push_back({x.id, logit});
      auto sum = logit + x.bias;
      auto scaled = sum > 0 ? sum / x.repetition : sum * x.repetition;
      logit = scaled - x.penalty;
    }
  }

  edited_row(const edited_row&) = delete;
  edited_row& operator=(const edited_row&) = delete;

  ~edited_row() {
    for (auto [id, logit] : before_)
      logits_[id] = logit;
  }

private:
  float* logits_;
  std::vector<std::pair<uint32_t, float>> before_;
};

/// By eight bits of what is allowed: what is added to the logits of their ids.
using addends = std::array<std::array<float, 8>, 256>;

constexpr addends make_addends() {
  addends out = {};
  for (size_t bits = 0; bits < out.size(); ++bits)
    for (size_t k = 0; k < 8; ++k)
      out[bits][k]
        = (bits >> k & 1) != 0 ? 0.0f : -std::numeric_limits<float>::infinity();
  return out;
}

/// A copy of an edited row in which what is not allowed has no weight. NaN
/// stays NaN.
std::vector<float> allowed_row(const float* logits, const draw& how) {
  static constexpr auto added = make_addends();
  std::vector<float> out(logits, logits + how.num_choices);
  auto add = [&](uint32_t first, uint32_t count) {
    auto bits = (*how.allowed)[first / 64] >> (first % 64) & 255;
    for (uint32_t k = 0; k < count; ++k)
      out[first + k] += added[bits][k];
  };
  auto whole = how.num_choices / 8 * 8;
  for (uint32_t i = 0; i < whole; i += 8)
    add(i, 8);
  if (whole < how.num_choices)
    add(whole, how.num_choices - whole);
  return out;
}

class row_sampler {
public:
  row_sampler(const kernel_set& kernels, const float* logits, const draw& how)
    : kernels_(kernels), logits_(logits), how_(how) {
  }

  int32_t choose() {
    auto seen = kernels_.survey(logits_, how_.num_choices);
    if (seen.has_nan || !std::isfinite(seen.max))
      return no_token;
    if (!(how_.temperature > 0))
      return int32_t(std::find(logits_, logits_ + how_.num_choices, seen.max)
                     - logits_);
    scale_ = {seen.max, how_.temperature};
    return int32_t(find(limit(seen)));
  }

  /// Gives the scores of the row and of `id`. Returns false, with none, for a
  /// row from which nothing could be chosen.
  bool score(int32_t id, float* scores, int32_t* ids) {
    auto seen = kernels_.survey(logits_, how_.num_choices);
    if (seen.has_nan || !std::isfinite(seen.max))
      return false;
    scale_ = {seen.max, 1};
    auto sum = kernels_.sum_weights(whole(seen, host::lowest_level));
    auto largest = find_largest(how_.num_scores - 1);
    for (uint32_t i = 0; i < how_.num_scores; ++i) {
      ids[i] = i == 0                   ? id
               : i - 1 < largest.size() ? int32_t(largest[i - 1])
                                        : no_token;
      scores[i] = ids[i] == no_token
                    ? 0
                    : host::log_probability(logits_[ids[i]], seen.max, sum);
    }
    return true;
  }

private:
  /// The `count` largest, ties in order of id.
  std::vector<uint32_t> find_largest(uint32_t count) const {
    std::vector<uint32_t> out; // a heap whose front is the least
    count = std::min(count, how_.num_choices);
    if (count == 0)
      return out;
    auto before = [&](uint32_t a, uint32_t b) {
      return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
    };
    for (uint32_t i = 0; i < count; ++i)
      out.push_back(i);
    std::make_heap(out.begin(), out.end(), before);
    for (auto i = count; i < how_.num_choices; ++i) {
      if (!(logits_[i] > logits_[out.front()]))
        continue;
      std::pop_heap(out.begin(), out.end(), before);
      out.back() = i;
      std::push_heap(out.begin(), out.end(), before);
    }
    std::sort_heap(out.begin(), out.end(), before);
    return out;
  }

  /// All whose level is `bottom` or more.
  level_range whole(const logit_range& seen, double bottom) const {
    level_range out{logits_, how_.num_choices, scale_};
    // An octave lower than need be: this is rounded.
    auto low = seen.max + (bottom - 1) / scale_.by;
    out.low = std::max(seen.min, float(std::max<double>(low, -largest_float)));
    out.high = seen.max;
    out.bottom = std::max(bottom, scale_.level_of(seen.min));
    return out;
  }

  /// What may be drawn: what has min_p, top_k of it, and top_p of that.
  cut limit(const logit_range& seen) const {
    auto all = whole(seen, host::level_of_share(how_.min_p));
    auto num = how_.num_choices;
    auto use_top_k = how_.top_k > 0 && how_.top_k < num;
    if (!use_top_k && how_.top_p >= 1)
      return {all.bottom, num - 1, kernels_.sum_weights(all), all.low};
    bucket_sums sums;
    if (all.top == all.bottom)
      return limit_equals(all);
    auto fill = use_top_k ? kernels_.fill_weights_and_counts
                          : kernels_.fill_weights;
    fill(all, sums);
    amount total;
    for (uint32_t i = 0; i < num_buckets; ++i)
      total.add(in_bucket(sums, i));
    cut out{all.bottom, num - 1, total.weight, all.low};
    if (use_top_k && how_.top_k < total.count)
      out = find_cut(all, sums, measure::count, how_.top_k);
    if (how_.top_p < 1)
      out = find_cut(all, sums, measure::weight,
                     host::share_of(out.weight, how_.top_p));
    return out;
  }

  /// Of a row whose logits are all at one level.
  cut limit_equals(const level_range& all) const {
    uint64_t each = host::weight_of(all.top);
    uint64_t count = how_.num_choices;
    if (how_.top_k > 0 && how_.top_k < count)
      count = how_.top_k;
    auto share = count * each;
    if (how_.top_p < 1)
      share = host::share_of(share, how_.top_p);
    return cut_equals(all, measure::weight, {}, share);
  }

  /// The least part of `all`, largest first, that measures `need`.
  cut find_cut(level_range all, const bucket_sums& first, measure by,
               uint64_t need) const {
    constexpr uint32_t few = 256;
    uint32_t ids[few];
    amount before;
    auto sums = &first;
    bucket_sums inner;
    while (all.top != all.bottom) {
      auto bucket = pass_buckets(*sums, by, need, before);
      narrow(all, bucket);
      auto in
        = kernels_.pick({logits_, all.count, all.low, all.high, ids, few});
      all.low = in.min;
      all.high = in.max;
      all.top = scale_.level_of(in.max);
      all.bottom = scale_.level_of(in.min);
      if (in.count <= few)
        return cut_few({ids, in.count}, by, before, need);
      if (all.top == all.bottom)
        break;
      inner = {};
      kernels_.fill_weights_and_counts(all, inner);
      sums = &inner;
    }
    return cut_equals(all, by, before, need);
  }

  /// Returns the bucket in which `need` is reached, and adds those before it.
  static uint32_t pass_buckets(const bucket_sums& sums, measure by,
                               uint64_t need, amount& before) {
    uint32_t i = 0;
    for (;; ++i) {
      CHECK(i < num_buckets);
      auto more = in_bucket(sums, i);
      if (before.by(by) + more.by(by) >= need)
        return i;
      before.add(more);
    }
  }

  /// Sets the logits between which those of `bucket` lie: buckets ascend as
  /// logits fall.
  void narrow(level_range& all, uint32_t bucket) const {
    auto reaches = [&](int64_t rank, uint32_t most) {
      auto level = scale_.level_of(of_rank(rank));
      auto place = (all.top - level) * all.buckets_of_octave();
      return level >= all.bottom
             && place + host::round_whole <= host::round_whole + most;
    };
    auto first = [&](uint32_t most) { // the lowest logit of bucket <= most
      auto low = rank_of(all.low);
      auto high = rank_of(all.high);
      while (low < high) {
        auto middle = low + (high - low) / 2;
        if (reaches(middle, most))
          high = middle;
        else
          low = middle + 1;
      }
      return low;
    };
    auto low = first(bucket);
    if (bucket > 0)
      all.high = of_rank(first(bucket - 1) - 1);
    all.low = of_rank(low);
  }

  /// Among a few ids, by sorting them.
  cut cut_few(std::span<uint32_t> ids, measure by, amount before,
              uint64_t need) const {
    auto level = [&](uint32_t id) { return scale_.level_of(logits_[id]); };
    std::sort(ids.begin(), ids.end(), [&](uint32_t a, uint32_t b) {
      auto x = level(a);
      auto y = level(b);
      return x != y ? x > y : a < b;
    });
    auto low = largest_float;
    for (auto id : ids) {
      low = std::min(low, logits_[id]);
      before.add({host::weight_of(level(id)), 1});
      if (before.by(by) >= need)
        return {level(id), id, before.weight, low};
    }
    CHECK(!"a cut among the ids of its bucket");
    return {};
  }

  /// Among ids of one level, whose logits are in [low, high].
  cut cut_equals(const level_range& all, measure by, const amount& before,
                 uint64_t need) const {
    auto each = host::weight_of(all.top);
    auto left = need - before.by(by);
    auto count = by == measure::count ? left : (left + each - 1) / each;
    return {all.top, nth_between(all.low, all.high, count),
            before.weight + count * each, all.low};
  }

  /// The `n`-th id, from 1, of those with a logit in [low, high].
  uint32_t nth_between(float low, float high, uint64_t n) const {
    constexpr uint32_t part = 512;
    uint32_t ids[part];
    for (uint32_t first = 0;; first += part) {
      CHECK(first < how_.num_choices);
      auto size = std::min(part, how_.num_choices - first);
      pick_args some{logits_ + first, size, low, high, ids, 0};
      auto count = kernels_.pick(some).count;
      if (count >= n) {
        some.max_ids = part;
        kernels_.pick(some);
        return first + ids[n - 1];
      }
      n -= count;
    }
  }

  /// Ids [first, end) of what is kept; all below or all from last + 1 on.
  level_range stretch(const cut& kept, uint32_t first, uint32_t end) const {
    level_range out{logits_ + first, end - first, scale_};
    out.bottom = first <= kept.last ? kept.level
                                    : std::nextafter(kept.level, 1.0);
    out.low = kept.low;
    out.high = largest_float;
    return out;
  }

  uint64_t sum_between(const cut& kept, uint32_t first, uint32_t end) const {
    auto middle = std::clamp(kept.last + 1, first, end);
    return kernels_.sum_weights(stretch(kept, first, middle))
           + kernels_.sum_weights(stretch(kept, middle, end));
  }

  uint32_t find_between(const cut& kept, uint32_t first, uint32_t end,
                        uint64_t place) const {
    auto middle = std::clamp(kept.last + 1, first, end);
    auto id = first + kernels_.find_weight(stretch(kept, first, middle), place);
    if (id == middle)
      id += kernels_.find_weight(stretch(kept, middle, end), place);
    CHECK(id < end);
    return id;
  }

  /// Inverts the weights of what is kept at the drawn point, from the end that
  /// is nearer to it.
  uint32_t find(const cut& kept) const {
    constexpr uint32_t part = 4096;
    auto num = how_.num_choices;
    auto place = host::place_of(kept.weight, how_.point);
    if (place < kept.weight / 2)
      for (uint32_t first = 0;; first += part) {
        CHECK(first < num);
        auto end = std::min(num, first + part);
        auto sum = sum_between(kept, first, end);
        if (sum > place)
          return find_between(kept, first, end, place);
        place -= sum;
      }
    auto before = kept.weight;
    for (auto end = num;;) {
      CHECK(end > 0);
      auto first = (end - 1) / part * part;
      before -= sum_between(kept, first, end);
      if (before <= place)
        return find_between(kept, first, end, place - before);
      end = first;
    }
  }

  const kernel_set& kernels_;
  const float* logits_;
  const draw& how_;
  host::level_scale scale_;
};

} // namespace

namespace {

int32_t choose_allowed(const kernel_set& kernels, const float* logits,
                       const draw& how) {
  auto own = allowed_row(logits, how);
  return row_sampler{kernels, own.data(), how}.choose();
}

void run_one(const kernel_set& kernels, const sample& op, uint32_t i) {
  auto& how = op.draws[i];
  auto logits = host::row<float>(op.logits, how.row);
  row_sampler row{kernels, logits, how};
  auto id = how.given;
  if (id == no_token) {
    edited_row edited{logits, how};
    id = how.allowed ? choose_allowed(kernels, logits, how) : row.choose();
  }
  if (id != no_token && how.num_scores > 0
      && !row.score(id, host::row<float>(op.scores, i),
                    host::row<int32_t>(op.score_ids, i)))
    id = no_token;
  *host::row<int32_t>(op.ids, i) = id;
}

/// Whether a row that one draw edits is looked at by another one.
bool shares_edited_rows(const sample& op) {
  std::vector<uint32_t> rows;
  for (auto& how : op.draws)
    rows.push_back(how.row);
  std::sort(rows.begin(), rows.end());
  return std::any_of(op.draws.begin(), op.draws.end(),
                     [](auto& how) { return how.edits != nullptr; })
         && std::adjacent_find(rows.begin(), rows.end()) != rows.end();
}

} // namespace

void run(context& ctx, const sample& op) {
  auto count = uint32_t(op.draws.size());
  auto choose = [&](uint32_t i) { run_one(ctx.kernels, op, i); };
  if (shares_edited_rows(op)) {
    for (uint32_t i = 0; i < count; ++i)
      choose(i);
    return;
  }
  uint64_t ns = 0;
  for (auto& how : op.draws)
    ns = std::max<uint64_t>(ns, how.num_choices * 2);
  ctx.for_each(count, ns, choose);
}

} // namespace troupe::kernels::cpu
