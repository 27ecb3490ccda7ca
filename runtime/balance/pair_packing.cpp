#include "runtime/balance/pair_packing.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::balance {

namespace {

constexpr double never = 1e300; // As full is nobody.
constexpr int max_exchanges = 400;
// Steps to make others than the fullest less full: batches differ from the
// loads of a plan.
constexpr int max_polished = 20;

// What a worker is first meant to take, as a multiple of the least; none of
// them is the best for all loads.
constexpr double starts[] = {1.05, 1.15};

/// Experts that share workers, one fewer than they are.
struct cluster {
  std::vector<uint32_t> experts;
  double load = 0;

  double workers = -1;      ///< One fewer than experts.
  double level = 0;         ///< Load for each worker.
  bool is_done = false;     ///< It stays as full as it is.
  double share = 1;         ///< Of a worker: 1 / workers.
  double share_without = 1; ///< The same with one worker fewer; or infinite.
};

class pair_packer {
public:
  pair_packer(const layout_shape& shape, std::span<const double> loads)
    : shape_(shape), loads_(loads), home_(shape.num_experts) {
    clusters_.resize(shape.num_experts - shape.num_workers);
    sorted_.resize(shape.num_experts);
    std::iota(sorted_.begin(), sorted_.end(), 0);
    std::ranges::stable_sort(sorted_, {}, [&](auto e) { return loads[e]; });
  }

  std::vector<uint32_t> run(double least) {
    auto best = clusters_;
    auto is_first = true;
    auto best_level = 0.0;
    for (auto x : starts) {
      fill(x * least);
      for (int i = 0; i < max_exchanges && exchange(fullest()); ++i)
        ;
      auto level = clusters_[fullest()].level;
      if (is_first || level < best_level) {
        std::swap(best, clusters_);
        best_level = level;
      }
      is_first = false;
    }
    std::swap(best, clusters_);
    for (uint32_t c = 0; c < clusters_.size(); ++c)
      for (auto e : clusters_[c].experts)
        home_[e] = c;
    for (int i = 0; i < max_polished; ++i)
      if (auto c = fullest(); !exchange(c))
        clusters_[c].is_done = true;
    return lay_out();
  }

private:
  void add(uint32_t expert, uint32_t c) {
    auto& x = clusters_[c];
    x.experts.push_back(expert);
    home_[expert] = c;
    change(x, loads_[expert], 1);
  }

  static void change(cluster& x, double load, double workers) {
    x.load += load;
    x.workers += workers;
    x.share = 1 / x.workers;
    x.share_without = x.workers > 1 ? 1 / (x.workers - 1) : never;
    x.level = x.load * x.share;
  }

  /// Of those that may still become less full.
  uint32_t fullest() const {
    uint32_t out = 0;
    double most = -1;
    for (uint32_t c = 0; c < clusters_.size(); ++c)
      if (clusters_[c].level > most && !clusters_[c].is_done) {
        most = clusters_[c].level;
        out = c;
      }
    return out;
  }

  void fill(double limit);
  bool exchange(uint32_t c);
  std::vector<uint32_t> lay_out() const;
  void lay_out(const cluster& x,
               std::vector<std::pair<uint32_t, uint32_t>>& out) const;

  const layout_shape& shape_;
  std::span<const double> loads_;
  std::vector<cluster> clusters_;
  std::vector<uint32_t> home_;   ///< [experts]: its cluster.
  std::vector<uint32_t> sorted_; ///< [experts] by load, lightest first.
};

/// Each cluster gets one of the heaviest; the lighter an expert is the more
/// room for others its worker brings, so the lightest go to whose need is
/// greatest.
void pair_packer::fill(double limit) {
  auto num = uint32_t(clusters_.size());
  for (auto& x : clusters_) {
    x.experts.clear();
    x.load = 0;
    x.workers = -1;
  }
  // Needs, greatest first: what its workers cannot take yet.
  std::vector<std::pair<double, uint32_t>> needs;
  for (uint32_t c = 0; c < num; ++c) {
    add(sorted_[shape_.num_experts - 1 - c], c);
    needs.emplace_back(clusters_[c].load, c);
  }
  std::make_heap(needs.begin(), needs.end());
  for (uint32_t i = 0; i < shape_.num_workers; ++i) {
    std::pop_heap(needs.begin(), needs.end());
    auto& [need, c] = needs.back();
    add(sorted_[i], c);
    need = clusters_[c].load - limit * clusters_[c].workers;
    std::push_heap(needs.begin(), needs.end());
  }
}

/// The one exchange, or gift of an expert, that leaves the fullest cluster and
/// its partner least full.
bool pair_packer::exchange(uint32_t c) {
  auto& top = clusters_[c];
  auto best = top.level * (1 - 1e-6);
  constexpr auto nobody = SIZE_MAX;
  size_t given = nobody; // In `top`
  auto taken = shape_.num_experts;
  // All is computed for everybody: branches that nobody foresees cost more.
  auto joined_share = 1 / (top.workers + 1);
  for (uint32_t e = 0; e < shape_.num_experts; ++e) {
    auto& other = clusters_[home_[e]];
    auto w = loads_[e];
    if (home_[e] == c)
      continue;
    auto worst = std::max((top.load + w) * joined_share,
                          (other.load - w) * other.share_without);
    if (worst < best && other.workers > 1) {
      best = worst;
      given = nobody;
      taken = e;
    }
    for (size_t i = 0; i < top.experts.size(); ++i) {
      auto less = loads_[top.experts[i]] - w;
      worst = std::max((top.load - less) * top.share,
                       (other.load + less) * other.share);
      if (worst < best) {
        best = worst;
        given = i;
        taken = e;
      }
    }
  }
  if (taken == shape_.num_experts)
    return false;
  auto& other = clusters_[home_[taken]];
  auto at = std::ranges::find(other.experts, taken);
  if (given == nobody) {
    *at = other.experts.back();
    other.experts.pop_back();
    change(other, -loads_[taken], -1);
    add(taken, c);
    return true;
  }
  std::swap(*at, top.experts[given]);
  auto less = loads_[*at] - loads_[taken];
  change(other, less, 0);
  change(top, -less, 0);
  std::swap(home_[taken], home_[*at]);
  return true;
}

/// A tree of workers through which every expert's load fits. One expert at a
/// time is shared out: beside the lightest while what is left of it fills
/// workers, then beside the heaviest, whose turn it is then.
void pair_packer::lay_out(
  const cluster& x, std::vector<std::pair<uint32_t, uint32_t>>& out) const {
  auto order = x.experts;
  std::ranges::sort(order, [&](auto a, auto b) {
    return std::pair{loads_[a], b} > std::pair{loads_[b], a};
  });
  auto level = x.level;
  size_t first = 1, last = order.size() - 1;
  auto shared = order[0];
  auto left = loads_[shared];
  while (first <= last) {
    if (left >= level || first == last) {
      auto light = order[last--];
      out.emplace_back(shared, light);
      left -= level - loads_[light];
      continue;
    }
    auto heavy = order[first++];
    out.emplace_back(shared, heavy);
    left = std::max(0.0, loads_[heavy] - (level - left));
    shared = heavy;
  }
}

std::vector<uint32_t> pair_packer::lay_out() const {
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  for (auto& x : clusters_)
    lay_out(x, pairs);
  CHECK(pairs.size() == shape_.num_workers);
  // Neighbours in a cluster go to different nodes.
  std::vector<uint32_t> out(shape_.num_slots);
  auto per_node = shape_.num_workers / shape_.num_nodes;
  for (uint32_t i = 0; i < pairs.size(); ++i) {
    auto worker = i % shape_.num_nodes * per_node + i / shape_.num_nodes;
    out[2 * worker] = pairs[i].first;
    out[2 * worker + 1] = pairs[i].second;
  }
  return out;
}

} // namespace

bool has_pairs(const layout_shape& shape) {
  return shape.slots_of_worker() == 2 && shape.num_experts > shape.num_workers;
}

std::vector<uint32_t> pack_pairs(const layout_shape& shape,
                                 std::span<const double> loads) {
  CHECK(has_pairs(shape));
  return pair_packer{shape, loads}.run(least_largest_load(shape, loads));
}

} // namespace troupe::balance
