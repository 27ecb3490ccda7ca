/// Policies of placing and moving requests that decode, step by step on a unit
/// of 144 ranks in virtual time, with the lengths of real traces.
///
///   decode_balance_bench TRACES_DIR
///
/// There are always as many requests as the unit is meant to have: who ends is
/// followed by the next of the trace. A step takes what the slowest rank takes:
/// 26.4 ms, 352 us for each request of the mean rank, 49 us for each of its own
/// and 48 ns for each token in its cache (an H800 unit at an expert imbalance
/// of 1.25). A request that moves stands still for two steps. The cache of a
/// rank has room for 850,000 tokens.

#include "runtime/balance/decode_balancer.hpp"
#include "tests/bench/traced_prompts.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

namespace troupe::balance {

namespace {

constexpr uint32_t num_ranks = 144;
constexpr uint64_t cache_tokens = 850'000;
constexpr double common = 26.4e-3, per_mean_request = 352e-6;
constexpr decode_prices prices{49e-6, 48e-9};
constexpr int warm_up = 2000, measured = 3000;
constexpr int steps_of_plan = 8, pause = 2;

struct lengths {
  uint32_t prompt = 0;
  uint32_t answer = 0;
};

std::vector<lengths> read_trace(const std::filesystem::path& file,
                                size_t prompt_field, size_t answer_fields) {
  std::vector<lengths> out;
  for (auto& row : read_rows(file)) {
    lengths x{uint32_t(row[prompt_field]), 0};
    for (size_t i = 0; i < answer_fields; ++i)
      x.answer += uint32_t(row[prompt_field + 1 + i]);
    x.answer = std::max(x.answer, 1u);
    out.push_back(x);
  }
  return out;
}

/// Prompts of 512 to 131,072 tokens; half of all are shorter than 1,024, and of
/// the rest half shorter than twice that, and so on.
std::vector<lengths> heavy_tails() {
  std::mt19937_64 rng{1};
  std::vector<lengths> out(20'000);
  for (auto& x : out) {
    auto share = double(rng() >> 11) * 0x1p-53;
    auto tokens = 512 / std::max(share, 512.0 / 131'072);
    x = {uint32_t(tokens), 200 + uint32_t(rng() % 1800)};
  }
  return out;
}

struct running {
  uint32_t rank = 0;
  uint64_t kv = 0;
  uint32_t left = 0;
  int pause = 0;
};

using place_rule
  = std::function<uint32_t(const std::vector<decode_rank>&, uint64_t)>;

class unit {
public:
  unit(const std::vector<lengths>& trace, uint32_t per_rank, place_rule place,
       bool moves)
    : trace_(trace), place_(std::move(place)), moves_(moves),
      ranks_(num_ranks, decode_rank{0, 0, UINT32_MAX, cache_tokens}) {
    for (uint32_t i = 0; i < per_rank * num_ranks; ++i) {
      running_.emplace_back();
      start(running_.back());
      // In the middle of their answers, so that not all end at once.
      auto& x = running_.back();
      auto done = uint32_t(uint64_t{x.left} * (i * 7919 % 1000) / 1000);
      x.left -= done;
      x.kv += done;
      ranks_[x.rank].kv_tokens += done;
    }
  }

  void run(const char* name) {
    for (int i = 0; i < warm_up; ++i)
      step(i);
    seconds_ = tokens_ = balance_ = own_balance_ = 0;
    num_started_ = num_moved_ = 0;
    for (int i = 0; i < measured; ++i)
      step(i);
    std::printf("  %-28s %8.2f %8.2f %10.0f %8.2f %7.3f\n", name,
                100 * balance_ / measured, 100 * own_balance_ / measured,
                tokens_ / seconds_, 1e3 * seconds_ / measured,
                100.0 * double(num_moved_)
                  / double(std::max<uint64_t>(num_started_, 1)));
  }

private:
  void start(running& x) {
    auto& next = trace_[next_++ % trace_.size()];
    x = {place_(ranks_, next.prompt), next.prompt, next.answer, 0};
    ++ranks_[x.rank].requests;
    ranks_[x.rank].kv_tokens += x.kv;
    ++num_started_;
  }

  void step(int number) {
    if (moves_ && number % steps_of_plan == 0)
      move();
    double most = 0, sum = 0;
    for (auto& r : ranks_) {
      most = std::max(most, r.seconds(prices));
      sum += r.seconds(prices);
    }
    auto shared = common
                  + per_mean_request * double(running_.size()) / num_ranks;
    balance_ += (shared + sum / num_ranks) / (shared + most);
    own_balance_ += sum / num_ranks / most;
    seconds_ += shared + most;
    for (auto& x : running_)
      advance(x);
  }

  void advance(running& x) {
    if (x.pause > 0) {
      --x.pause;
      return;
    }
    ++tokens_;
    ++x.kv;
    ++ranks_[x.rank].kv_tokens;
    if (--x.left > 0)
      return;
    --ranks_[x.rank].requests;
    ranks_[x.rank].kv_tokens -= x.kv;
    start(x);
  }

  void move() {
    std::vector<decode_request> may;
    for (uint64_t i = 0; i < running_.size(); ++i)
      if (running_[i].left > 100) // Who ends soon is not worth it.
        may.push_back({i, running_[i].rank, running_[i].kv});
    for (auto& m : decode_balancer{prices, caps_}.plan_moves(ranks_, may)) {
      auto& x = running_[m.id];
      --ranks_[m.from].requests;
      ranks_[m.from].kv_tokens -= x.kv;
      ++ranks_[m.to].requests;
      ranks_[m.to].kv_tokens += x.kv;
      x.rank = m.to;
      x.pause = pause;
      ++num_moved_;
    }
  }

  const std::vector<lengths>& trace_;
  place_rule place_;
  bool moves_;
  decode_caps caps_{2, 1 << 18, 0.03};
  std::vector<decode_rank> ranks_;
  std::vector<running> running_;
  size_t next_ = 0;
  uint64_t num_started_ = 0, num_moved_ = 0;
  double seconds_ = 0, tokens_ = 0, balance_ = 0, own_balance_ = 0;
};

uint32_t first_least(const std::vector<decode_rank>& ranks,
                     uint64_t decode_rank::*what) {
  return uint32_t(std::ranges::min_element(ranks, {}, what) - ranks.begin());
}

void compare(const char* name, const std::vector<lengths>& trace,
             uint32_t per_rank) {
  if (trace.empty())
    return;
  std::printf("%s, %u requests a rank\n  %-28s %8s %8s %10s %8s %7s\n", name,
              per_rank, "policy", "balance", "own", "tokens/s", "ms", "moved");
  uint32_t turn = 0;
  place_rule in_turn = [&](auto&, auto) { return turn++ % num_ranks; };
  place_rule by_requests = [](auto& ranks, auto) {
    return uint32_t(std::ranges::min_element(ranks, {}, &decode_rank::requests)
                    - ranks.begin());
  };
  place_rule by_tokens = [](auto& ranks, auto) {
    return first_least(ranks, &decode_rank::kv_tokens);
  };
  place_rule by_time = [](auto& ranks, auto tokens) {
    return decode_balancer{prices}.place(ranks, tokens).value_or(0);
  };
  unit{trace, per_rank, in_turn, false}.run("round robin");
  unit{trace, per_rank, by_requests, false}.run("fewest requests");
  unit{trace, per_rank, by_tokens, false}.run("fewest tokens");
  unit{trace, per_rank, by_time, false}.run("predicted step time");
  unit{trace, per_rank, by_time, true}.run("the same, and moves");
}

int main(const std::filesystem::path& folder) {
  std::printf("balance: mean over largest time of a rank's step, %%; own: of "
              "what differs between ranks; moved: requests, %%\n");
  compare("ServeGen R1",
          read_trace(folder / "servegen_r1_peak_30min.csv", 2, 2), 88);
  compare("Mooncake conversation",
          read_trace(folder / "mooncake_conversation.csv", 1, 1), 50);
  compare("Heavy tails (made)", heavy_tails(), 50);
  compare("Heavy tails (made)", heavy_tails(), 88);
  return 0;
}

} // namespace

} // namespace troupe::balance

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: decode_balance_bench TRACES_DIR\n");
    return 2;
  }
  return troupe::balance::main(argv[1]);
}
