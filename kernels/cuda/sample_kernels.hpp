#pragma once

/// From logits to a token, exactly: one block for each draw. What is kept is
/// found by counting digits of the levels, from the highest byte down, so that
/// time is linear in the vocabulary; weights are whole numbers, so that sums
/// have no order.

#include "kernels/cuda/row_kernels.hpp"

namespace troupe::kernels::cuda {

/// A draw as the kernel reads it.
struct draw_args {
  uint32_t row = 0;
  uint32_t num_choices = 0;
  float temperature = 1;
  float top_p = 1;
  uint32_t top_k = 0;
  uint64_t point = 0;
  double octaves = 1;     ///< Of one unit of a logit.
  double least_level = 0; ///< Of min_p.
  uint32_t edits_at = 0;
  uint32_t num_edits = 0;
  uint32_t allowed_at = 0;
  bool is_restricted = false; ///< By `allowed`.
  uint32_t edited_row = ~0u;  ///< Of the memory for edited logits; or none.
  int32_t given = no_token;
  uint32_t num_scores = 0;
};

struct edit_kernel {
  static constexpr uint32_t num_threads = 256;
  static constexpr const char* name = "edit_logits";

  rows<const float> logits;
  list<draw_args> draws;
  list<logit_edit> edits;
  list<uint64_t> allowed;
  rows<float> edited;

  GPU void run() const {
    auto how = draws.get(block_index().x);
    if (how.edited_row == ~0u)
      return;
    auto from = logits.row(how.row);
    auto to = edited.row(how.edited_row);
    for (auto i = thread_index(); i < how.num_choices; i += num_threads)
      to.set(i, from.get(i));
    sync_block();
    for (auto i = thread_index(); i < how.num_edits; i += num_threads) {
      auto x = edits.get(how.edits_at + i);
      if (x.id >= how.num_choices)
        continue;
      auto sum = to.get(x.id) + x.bias;
      auto scaled = sum > 0 ? sum / x.repetition : sum * x.repetition;
      to.set(x.id, scaled - x.penalty);
    }
    sync_block();
    if (!how.is_restricted)
      return;
    for (auto i = thread_index(); i < how.num_choices; i += num_threads)
      if ((allowed.get(how.allowed_at + i / 64) >> (i % 64) & 1) == 0)
        to.set(i, to.get(i) + minus_infinity());
  }
};

/// The largest logit, its first id, and whether there is one at all.
struct largest_logit {
  float value = 0;
  uint32_t id = ~0u;
  bool is_sound = true; ///< No NaN; the largest is finite.
};

struct sample_kernel {
  static constexpr uint32_t num_threads = 256;
  static constexpr uint32_t num_warps = num_threads / 32;
  static constexpr const char* name = "sample";

  rows<const float> logits;
  rows<const float> edited;
  list<draw_args> draws;
  rows<int32_t> ids;
  rows<float> scores;
  rows<int32_t> score_ids;

  GPU void run() const {
    STATIC_SHARED(uint64_t, histogram, 512);
    STATIC_SHARED(uint64_t, words, 4 * num_warps + 8);
    auto draw = block_index().x;
    auto how = draws.get(draw);
    auto given = logits.row(how.row);
    auto row = how.edited_row != ~0u && how.given == no_token
                 ? global<const float>(edited.row(how.edited_row))
                 : given;
    auto best = largest(row, how.num_choices, words);
    auto id = no_token;
    if (best.is_sound)
      id = how.given != no_token
             ? how.given
             : choice{row, how, best, histogram, words}.made();
    if (thread_index() == 0)
      ids.row(draw).set(0, id);
    if (id != no_token && how.num_scores > 0)
      score(given, how, draw, id, words);
  }

private:
  using words_of_block = shared<uint64_t>;

  /// Whether a comes before b: the larger one, then the lower id.
  GPU static bool is_before(float a, uint32_t a_id, float b, uint32_t b_id) {
    return b_id == ~0u || (a_id != ~0u && (a > b || (a == b && a_id < b_id)));
  }

  /// The best of what threads have, for all of them.
  GPU static largest_logit best_of_block(largest_logit x,
                                         const words_of_block& words) {
    for (uint32_t mask = 16; mask > 0; mask /= 2) {
      auto value = shuffle_xor(x.value, mask);
      auto id = shuffle_xor(x.id, mask);
      if (is_before(value, id, x.value, x.id)) {
        x.value = value;
        x.id = id;
      }
    }
    auto all_sound = ballot(x.is_sound) == ~0u;
    sync_block();
    if (lane_index() == 0) {
      words.set(2 * warp_index(),
                uint64_t{std::bit_cast<uint32_t>(x.value)} << 32 | x.id);
      words.set(2 * warp_index() + 1, all_sound);
    }
    sync_block();
    largest_logit out;
    for (uint32_t w = 0; w < num_warps; ++w) {
      auto word = words.get(2 * w);
      auto value = std::bit_cast<float>(uint32_t(word >> 32));
      auto id = uint32_t(word);
      out.is_sound = out.is_sound && words.get(2 * w + 1) != 0;
      if (is_before(value, id, out.value, out.id)) {
        out.value = value;
        out.id = id;
      }
    }
    return out;
  }

  GPU static largest_logit largest(const global<const float>& row,
                                   uint32_t count,
                                   const words_of_block& words) {
    largest_logit mine;
    for (auto i = thread_index(); i < count; i += num_threads) {
      auto x = row.get(i);
      mine.is_sound = mine.is_sound && x == x;
      if (is_before(x, i, mine.value, mine.id)) {
        mine.value = x;
        mine.id = i;
      }
    }
    auto out = best_of_block(mine, words);
    auto bits = std::bit_cast<uint32_t>(out.value) & 0x7fffffff;
    out.is_sound = out.is_sound && bits < 0x7f800000;
    return out;
  }

  GPU static uint64_t sum_of_all(uint64_t x, const words_of_block& words) {
    x = sum_of_warp(x);
    sync_block();
    if (lane_index() == 0)
      words.set(warp_index(), x);
    sync_block();
    uint64_t sum = 0;
    for (uint32_t w = 0; w < num_warps; ++w)
      sum += words.get(w);
    return sum;
  }

  /// What all threads before this one have.
  GPU static uint64_t sum_before(uint64_t x, const words_of_block& words) {
    auto sum = x;
    for (uint32_t step = 1; step < 32; step *= 2) {
      auto other = shuffle(sum, (lane_index() - step) % 32);
      sum += lane_index() >= step ? other : 0;
    }
    sync_block();
    if (lane_index() == 31)
      words.set(warp_index(), sum);
    sync_block();
    for (uint32_t w = 0; w < warp_index(); ++w)
      sum += words.get(w);
    return sum - x;
  }

  /// The choice of one draw among those that weigh anything.
  struct choice {
    const global<const float>& row;
    const draw_args& how;
    const largest_logit& best;
    const shared<uint64_t>& histogram; ///< Counts, then weights, by digit.
    const words_of_block& words;
    // Kept: depths below last_depth, and at it ids up to last_id.
    uint64_t last_depth = ~uint64_t{0};
    uint32_t last_id = ~0u;

    GPU choice(const global<const float>& row, const draw_args& how,
               const largest_logit& best, const shared<uint64_t>& histogram,
               const words_of_block& words)
      : row(row), how(how), best(best), histogram(histogram), words(words) {
    }

    GPU int32_t made() {
      if (!(how.temperature > 0))
        return int32_t(best.id);
      if (how.top_k > 0 && how.top_k < how.num_choices)
        keep(how.top_k, 0);
      if (how.top_p < 1)
        keep(0, share_of(whole(), how.top_p));
      return drawn();
    }

  private:
    /// How far below the largest, in bits that ascend.
    GPU uint64_t depth_of(double level) const {
      return std::bit_cast<uint64_t>(level) & ~(uint64_t{1} << 63);
    }

    /// The weight of an id that is kept, else 0.
    GPU uint64_t weight_of(uint32_t id, uint64_t& depth) const {
      auto level = level_of(row.get(id), best.value, how.octaves);
      depth = depth_of(level);
      if (!(level >= how.least_level) || depth > last_depth
          || (depth == last_depth && id > last_id))
        return 0;
      return cuda::weight_of(level);
    }

    GPU uint64_t whole() const {
      uint64_t sum = 0, depth = 0;
      for (auto i = thread_index(); i < how.num_choices; i += num_threads)
        sum += weight_of(i, depth);
      return sum_of_all(sum, words);
    }

    /// A digit, what is before it and what it has itself.
    struct found_digit {
      uint64_t digit = 0;
      uint64_t ids_before = 0, weight_before = 0;
      uint64_t ids = 0, weight = 0;
    };

    /// Keeps the first `count` ids, or the first that have `share` of weight.
    GPU void keep(uint32_t count, uint64_t share) {
      uint64_t prefix = 0;
      found_digit at;
      for (int shift = 56; shift >= 0; shift -= 8) {
        count_digits(prefix, shift);
        if (!find_digit(count, share, at))
          return; // fewer than that: all stay
        prefix = prefix << 8 | at.digit;
      }
      auto each = at.weight / at.ids;
      auto left = count > 0 ? count - at.ids_before
                            : (share - at.weight_before + each - 1) / each;
      auto id = id_of_tie(prefix, left);
      last_depth = prefix;
      last_id = id;
    }

    /// Where `count` ids, or `share` of weight, are reached: each thread looks
    /// at one digit. Starts from what `at` says is before all of them.
    GPU bool find_digit(uint32_t count, uint64_t share, found_digit& at) const {
      static_assert(num_threads == 256);
      constexpr uint32_t found_at = 4 * num_warps;
      auto ids = histogram.get(thread_index());
      auto weight = histogram.get(256 + thread_index());
      auto ids_before = at.ids_before + sum_before(ids, words);
      auto weight_before = at.weight_before + sum_before(weight, words);
      auto is_it = count > 0
                     ? ids_before < count && count <= ids_before + ids
                     : weight_before < share && share <= weight_before + weight;
      if (thread_index() == 0)
        words.set(found_at, 256);
      sync_block();
      if (is_it) {
        words.set(found_at, thread_index());
        words.set(found_at + 1, ids_before);
        words.set(found_at + 2, weight_before);
        words.set(found_at + 3, ids);
        words.set(found_at + 4, weight);
      }
      sync_block();
      if (words.get(found_at) == 256)
        return false;
      at = {words.get(found_at), words.get(found_at + 1),
            words.get(found_at + 2), words.get(found_at + 3),
            words.get(found_at + 4)};
      return true;
    }

    /// Of ids whose depth begins with `prefix`, by their next digit.
    GPU void count_digits(uint64_t prefix, int shift) const {
      sync_block();
      for (auto i = thread_index(); i < 512; i += num_threads)
        histogram.set(i, 0);
      sync_block();
      for (auto i = thread_index(); i < how.num_choices; i += num_threads) {
        uint64_t depth = 0;
        auto weight = weight_of(i, depth);
        if (weight == 0 || (shift < 56 && depth >> (shift + 8) != prefix))
          continue;
        auto digit = uint32_t(depth >> shift & 0xff);
        histogram.add(digit, 1);
        histogram.add(256 + digit, weight);
      }
      sync_block();
    }

    /// Ids that follow each other are one thread's.
    GPU uint32_t first_id() const {
      auto each = (how.num_choices + num_threads - 1) / num_threads;
      return thread_index() * each;
    }

    GPU uint32_t end_id() const {
      auto each = (how.num_choices + num_threads - 1) / num_threads;
      auto end = (thread_index() + 1) * each;
      return end < how.num_choices ? end : how.num_choices;
    }

    /// What the thread that has it says to all.
    GPU uint32_t announced(bool is_mine, uint32_t id) const {
      sync_block();
      if (is_mine)
        words.set(4 * num_warps, id);
      sync_block();
      return uint32_t(words.get(4 * num_warps));
    }

    /// The id of the n-th of those at `depth`, n from 1.
    GPU uint32_t id_of_tie(uint64_t depth, uint64_t n) const {
      uint64_t count = 0, its = 0;
      for (auto i = first_id(); i < end_id(); ++i)
        count += weight_of(i, its) > 0 && its == depth;
      auto before = sum_before(count, words);
      auto is_mine = before < n && n <= before + count;
      auto id = first_id();
      for (auto left = n - before; is_mine; ++id)
        if (weight_of(id, its) > 0 && its == depth && --left == 0)
          break;
      return announced(is_mine, id);
    }

    GPU int32_t drawn() const {
      auto place = place_of(whole(), how.point);
      uint64_t sum = 0, depth = 0;
      for (auto i = first_id(); i < end_id(); ++i)
        sum += weight_of(i, depth);
      auto before = sum_before(sum, words);
      auto is_mine = before <= place && place < before + sum;
      auto id = first_id();
      for (auto left = place - before; is_mine; ++id) {
        auto weight = weight_of(id, depth);
        if (weight > left)
          break;
        left -= weight;
      }
      return int32_t(announced(is_mine, id));
    }
  };

  GPU void score(const global<const float>& row, const draw_args& how,
                 uint32_t draw, int32_t id, const words_of_block& words) const {
    auto first = largest(row, how.num_choices, words);
    constexpr double octave = 0x1.71547652b82fep+0; // at temperature 1
    uint64_t sum = 0;
    for (auto i = thread_index(); i < how.num_choices; i += num_threads)
      sum += cuda::weight_of(level_of(row.get(i), first.value, octave));
    sum = sum_of_all(sum, words);
    auto put = [&](uint32_t at, int32_t whose) {
      if (thread_index() != 0)
        return;
      score_ids.row(draw).set(at, whose);
      auto value = whose == no_token ? 0
                                     : log_probability(row.get(uint32_t(whose)),
                                                       first.value, sum);
      scores.row(draw).set(at, value);
    };
    put(0, id);
    auto last = first;
    for (uint32_t at = 1; at < how.num_scores; ++at) {
      if (at > 1)
        last = next_after(row, how.num_choices, last, words);
      put(at, at <= how.num_choices ? int32_t(last.id) : no_token);
    }
  }

  /// The best of those that `last` comes before.
  GPU static largest_logit next_after(const global<const float>& row,
                                      uint32_t count, const largest_logit& last,
                                      const words_of_block& words) {
    largest_logit mine;
    for (auto i = thread_index(); i < count; i += num_threads) {
      auto x = row.get(i);
      if (last.id != ~0u && is_before(last.value, last.id, x, i)
          && is_before(x, i, mine.value, mine.id)) {
        mine.value = x;
        mine.id = i;
      }
    }
    return best_of_block(mine, words);
  }
};

} // namespace troupe::kernels::cuda
