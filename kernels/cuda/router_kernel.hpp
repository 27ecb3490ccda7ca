#pragma once

/// From logits to experts: one warp for each token.

#include "kernels/cuda/row_kernels.hpp"

namespace troupe::kernels::cuda {

/// A candidate; of two the better one has the larger score, then the lower id.
struct ranked {
  float score = 0;
  uint32_t id = 0;

  GPU bool is_before(const ranked& other) const {
    return score > other.score || (score == other.score && id < other.id);
  }
};

struct route_kernel {
  static constexpr uint32_t num_threads = 32;
  static constexpr const char* name = "route";
  static constexpr uint32_t nobody = ~0u;

  rows<const float> logits;
  rows<const float> bias; ///< Or none.
  scoring score = scoring::sigmoid;
  group_score group = group_score::sum_of_best_two;
  uint32_t num_groups = 1;
  uint32_t topk_group = 1;
  uint32_t top_k = 1;
  bool normalize = true;
  float scaling = 1;
  rows<int32_t> experts;
  rows<float> weights;

  static uint32_t shared_bytes_of(const router& op) {
    return (2 * op.w.rows + 2 * op.num_groups) * 4;
  }

  GPU void run() const {
    auto t = block_index().x;
    auto count = logits.num_cols;
    auto scores = dynamic_shared<float>(0, count);
    auto choice = dynamic_shared<float>(count * 4, count); // NaN: as -infinity
    auto groups = dynamic_shared<float>(count * 8, num_groups);
    auto is_kept = dynamic_shared<uint32_t>((2 * count + num_groups) * 4,
                                            num_groups);
    load_scores(t, scores);
    for (auto e = lane_index(); e < count; e += 32) {
      auto x = scores.get(e);
      choice.set(e, key_of(bias.exists() ? x + bias.row(0).get(e) : x));
    }
    sync_warp();
    keep_groups(choice, groups, is_kept);
    sync_warp();
    choose(t, scores, choice, is_kept);
  }

private:
  GPU static float key_of(float x) {
    return x == x ? x : minus_infinity();
  }

  GPU void load_scores(uint32_t t, const shared<float>& scores) const {
    auto from = logits.row(t);
    auto count = logits.num_cols;
    if (score == scoring::sigmoid) {
      for (auto e = lane_index(); e < count; e += 32)
        scores.set(e, float(1 / (1 + exp(-double{from.get(e)}))));
      return;
    }
    auto largest = minus_infinity();
    for (auto e = lane_index(); e < count; e += 32)
      largest = from.get(e) > largest ? from.get(e) : largest;
    largest = max_of_warp(largest);
    double total = 0;
    for (auto e = lane_index(); e < count; e += 32)
      total += exp(double{from.get(e)} - largest);
    total = sum_of_warp(total);
    for (auto e = lane_index(); e < count; e += 32)
      scores.set(e, float(exp(double{from.get(e)} - largest) / total));
  }

  /// The best of what the lanes have; nobody has none.
  GPU static ranked best_of_warp(ranked x) {
    for (uint32_t mask = 16; mask > 0; mask /= 2) {
      ranked other{shuffle_xor(x.score, mask), shuffle_xor(x.id, mask)};
      if (x.id == nobody || (other.id != nobody && other.is_before(x)))
        x = other;
    }
    return x;
  }

  GPU void keep_groups(const shared<float>& choice, const shared<float>& groups,
                       const shared<uint32_t>& is_kept) const {
    auto size = logits.num_cols / num_groups;
    auto with_two = group == group_score::sum_of_best_two && size > 1;
    for (auto g = lane_index(); g < num_groups; g += 32) {
      auto best = choice.get(g * size);
      auto second = minus_infinity();
      for (uint32_t i = 1; i < size; ++i) {
        auto x = choice.get(g * size + i);
        if (x > best) {
          second = best;
          best = x;
        } else if (x > second) {
          second = x;
        }
      }
      groups.set(g, key_of(with_two ? best + second : best));
      is_kept.set(g, 0);
    }
    sync_warp();
    for (uint32_t i = 0; i < topk_group; ++i) {
      ranked best{0, nobody};
      for (auto g = lane_index(); g < num_groups; g += 32) {
        ranked x{groups.get(g), g};
        if (is_kept.get(g) == 0 && (best.id == nobody || x.is_before(best)))
          best = x;
      }
      best = best_of_warp(best);
      sync_warp();
      if (lane_index() == 0)
        is_kept.set(best.id, 1);
      sync_warp();
    }
  }

  /// `choice` of what is chosen stays; the last one chosen bounds the next.
  GPU void choose(uint32_t t, const shared<float>& scores,
                  const shared<float>& choice,
                  const shared<uint32_t>& is_kept) const {
    auto size = logits.num_cols / num_groups;
    ranked last{0, nobody};
    float sum = 0;
    for (uint32_t i = 0; i < top_k; ++i) {
      ranked best{0, nobody};
      for (auto e = lane_index(); e < logits.num_cols; e += 32) {
        ranked x{choice.get(e), e};
        auto is_left = last.id == nobody || last.is_before(x);
        if (is_kept.get(e / size) && is_left
            && (best.id == nobody || x.is_before(best)))
          best = x;
      }
      last = best_of_warp(best);
      sum += scores.get(last.id);
      if (lane_index() == 0)
        experts.row(t).set(i, int32_t(last.id));
    }
    sync_warp();
    for (auto i = lane_index(); i < top_k; i += 32) {
      auto x = scores.get(uint32_t(experts.row(t).get(i)));
      auto part = normalize ? x / (sum + 1e-20f) : x;
      weights.row(t).set(i, part * scaling);
    }
  }
};

} // namespace troupe::kernels::cuda
