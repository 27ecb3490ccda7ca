/// Policies of placing prompts, batch by batch on a unit of 32 ranks in virtual
/// time, with the arrivals and prefixes of a real trace, faster than real.
///
///   prefill_balance_bench TRACES_DIR
///
/// A batch takes 28 ms and what the slowest rank takes: 0.134 ms for each token
/// and 7.1 ns for each pair of a token and one that it attends to (an EP32 unit
/// of H800). Cached blocks of 512 tokens stay for good; one token comes from
/// another rank in 3.5 us. The other policies fill batches of 16,384 tokens in
/// the order of arrival and use the prefix that their rank has.

#include "runtime/balance/prefill_balancer.hpp"
#include "tests/bench/traced_prompts.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <numeric>

namespace troupe::balance {

namespace {

constexpr uint32_t num_ranks = 32, block_tokens = traced_prompt::block_tokens;
constexpr double common = 28e-3;
constexpr uint32_t batch_tokens = 16'384;
constexpr double batch_seconds = 2.2;
constexpr prefill_prices prices{0.134e-3, 7.1e-9, 3.5e-6};

enum class rule { round_robin, fewest_tokens, prefix_only, ours };

using prompt = traced_prompt;

class unit {
public:
  unit(const std::vector<prompt>& trace, double faster, rule how)
    : trace_(trace), faster_(faster), rule_(how), held_(max_block() + 1),
      queues_(num_ranks), owners_(num_ranks) {
  }

  void run(const char* name) {
    size_t next = 0;
    for (;;) {
      while (next < trace_.size() && trace_[next].arrival / faster_ <= now_)
        place(uint32_t(next++));
      auto is_idle = std::ranges::all_of(queues_, &queue::empty);
      if (is_idle && next == trace_.size())
        break;
      if (is_idle)
        now_ = trace_[next].arrival / faster_;
      else
        batch();
    }
    std::ranges::sort(ttft_);
    std::printf("  %-16s %8.2f %8.2f %8.2f %8.0f %8.3f\n", name,
                num_batches_ > 0 ? 100 * balance_ / num_batches_ : 0,
                ttft_[ttft_.size() / 2], ttft_[ttft_.size() * 99 / 100],
                double(computed_) / now_, double(cached_) / double(asked_));
  }

private:
  using queue = std::vector<prefill_prompt>;

  uint32_t max_block() const {
    uint32_t out = 0;
    for (auto& x : trace_)
      for (auto b : x.blocks)
        out = std::max(out, b);
    return out;
  }

  double backlog(uint32_t r) const {
    double out = 0;
    for (auto& x : queues_[r])
      out += prices.seconds(x.done, x.tokens - x.done);
    return out;
  }

  uint64_t backlog_tokens(uint32_t r) const {
    uint64_t out = 0;
    for (auto& x : queues_[r])
      out += x.tokens - x.done;
    return out;
  }

  void place(uint32_t id) {
    auto& x = trace_[id];
    std::vector<uint32_t> cached(num_ranks);
    uint32_t anywhere = 0, all = UINT32_MAX, some = 1;
    for (auto b : x.blocks) {
      all &= held_[b];
      some = some && held_[b] != 0;
      anywhere += some ? block_tokens : 0;
      for (uint32_t r = 0; r < num_ranks; ++r)
        cached[r] += all >> r & 1 ? block_tokens : 0;
    }
    auto choice = choose(x, cached, anywhere);
    queues_[choice.rank].push_back({x.tokens, choice.cached});
    owners_[choice.rank].push_back(id);
    cached_ += choice.cached;
    asked_ += x.tokens;
  }

  prefill_choice choose(const prompt& x, std::span<const uint32_t> cached,
                        uint32_t anywhere) {
    if (rule_ == rule::ours) {
      std::vector<double> queued;
      for (uint32_t r = 0; r < num_ranks; ++r)
        queued.push_back(backlog(r));
      return balancer_.place(x.tokens, queued, cached, anywhere);
    }
    auto best = turn_++ % num_ranks;
    for (uint32_t r = 0; r < num_ranks && rule_ != rule::round_robin; ++r) {
      auto fewer = backlog_tokens(r) < backlog_tokens(best);
      if (rule_ == rule::fewest_tokens
            ? fewer
            : cached[r] > cached[best] || (cached[r] == cached[best] && fewer))
        best = r;
    }
    return {best, std::min(cached[best], x.tokens - 1), 0, 0};
  }

  std::vector<prompt_chunk> cut(uint32_t r, double seconds) const {
    if (rule_ == rule::ours)
      return balancer_.cut(queues_[r], seconds);
    return prefill_balancer{prices, 1e9, batch_tokens}.cut(queues_[r], 1e9);
  }

  void batch() {
    std::vector<double> queued;
    for (uint32_t r = 0; r < num_ranks; ++r)
      queued.push_back(backlog(r));
    auto goal = balancer_.next_batch(queued);
    double most = 0, sum = 0;
    std::vector<std::vector<prompt_chunk>> chunks;
    for (uint32_t r = 0; r < num_ranks; ++r) {
      chunks.push_back(cut(r, goal));
      double seconds = 0;
      for (auto& c : chunks.back())
        seconds += prices.seconds(c.first, c.count);
      most = std::max(most, seconds);
      sum += seconds;
    }
    if (std::ranges::min(queued) > batch_seconds / 2) {
      balance_ += (common + sum / num_ranks) / (common + most);
      ++num_batches_;
    }
    now_ += common + most;
    for (uint32_t r = 0; r < num_ranks; ++r)
      finish(r, chunks[r]);
  }

  void finish(uint32_t r, const std::vector<prompt_chunk>& chunks) {
    for (auto& c : chunks) {
      queues_[r][c.index].done += c.count;
      computed_ += c.count;
    }
    size_t done = 0;
    for (; done < queues_[r].size()
           && queues_[r][done].done == queues_[r][done].tokens;
         ++done) {
      auto& x = trace_[owners_[r][done]];
      ttft_.push_back(now_ - x.arrival / faster_);
      for (auto b : x.blocks)
        held_[b] |= 1u << r;
    }
    queues_[r].erase(queues_[r].begin(), queues_[r].begin() + ptrdiff_t(done));
    owners_[r].erase(owners_[r].begin(), owners_[r].begin() + ptrdiff_t(done));
  }

  const std::vector<prompt>& trace_;
  double faster_;
  rule rule_;
  prefill_balancer balancer_{prices, batch_seconds, 2 * batch_tokens};
  std::vector<uint32_t> held_; ///< [blocks]: a bit for each rank that has it.
  std::vector<queue> queues_;
  std::vector<std::vector<uint32_t>> owners_;
  double now_ = 0, balance_ = 0;
  int num_batches_ = 0;
  uint32_t turn_ = 0;
  uint64_t computed_ = 0, cached_ = 0, asked_ = 0;
  std::vector<double> ttft_;
};

int main(const std::filesystem::path& folder) {
  auto trace = read_prompts(folder / "mooncake_conversation.csv");
  if (trace.empty())
    return 1;
  for (double faster : {1.5, 4.0, 6.0}) {
    std::printf("Mooncake conversation, %.1f times as fast\n  %-16s %8s %8s "
                "%8s %8s %8s\n",
                faster, "policy", "balance", "p50 s", "p99 s", "tokens/s",
                "cached");
    unit{trace, faster, rule::round_robin}.run("round robin");
    unit{trace, faster, rule::fewest_tokens}.run("fewest tokens");
    unit{trace, faster, rule::prefix_only}.run("prefix only");
    unit{trace, faster, rule::ours}.run("modelled cost");
  }
  std::printf("balance: mean over largest time of a rank's batch, %%, where "
              "everybody has half a batch to do; s: until the first token\n");
  return 0;
}

} // namespace

} // namespace troupe::balance

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: prefill_balance_bench TRACES_DIR\n");
    return 2;
  }
  return troupe::balance::main(argv[1]);
}
