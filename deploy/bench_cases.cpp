#include "deploy/bench_cases.hpp"

#include "kernels/ops.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace troupe {

namespace {

uint32_t rounded_up(uint32_t a, uint32_t b) {
  return (a + b - 1) / b;
}

/// The value in the sorted place `share` of the way; 0 of none.
double quantile(std::vector<double> values, double share) {
  if (values.empty())
    return 0;
  std::sort(values.begin(), values.end());
  auto place = std::lround(share * double(values.size() - 1));
  return values[static_cast<size_t>(place)];
}

bool read_number(std::string_view text, uint32_t& to) {
  auto end = text.data() + text.size();
  auto x = std::from_chars(text.data(), end, to);
  return x.ec == std::errc{} && x.ptr == end;
}

bench_case decode_case(const bench_options& o, uint32_t depth, uint32_t batch) {
  bench_case x;
  x.depth = depth;
  x.batch = batch;
  x.steps = o.num_steps;
  x.tokens = double(batch) * o.num_steps;
  return x;
}

/// Cases in which each lane of each rank has so many sequences: one for each
/// number of lanes that a company has.
void add_lane_cases(std::vector<bench_case>& out, const bench_options& o,
                    const std::vector<bench_company>& all, uint32_t num_ranks,
                    uint32_t depth, uint32_t lane_batch) {
  auto first = out.size();
  for (size_t i = 0; i < all.size(); ++i) {
    auto batch = all[i].lanes * lane_batch * num_ranks;
    auto same = std::find_if(out.begin() + std::ptrdiff_t(first), out.end(),
                             [&](auto& x) { return x.batch == batch; });
    if (same == out.end()) {
      out.push_back(decode_case(o, depth, batch));
      out.back().lane_batch = lane_batch;
      same = out.end() - 1;
    }
    same->actors.push_back({i, {}, {}});
  }
}

std::vector<bench_series> all_of(const std::vector<bench_company>& all) {
  std::vector<bench_series> out(all.size());
  for (size_t i = 0; i < all.size(); ++i)
    out[i].company = i;
  return out;
}

/// Blocks of a rank for the worst case, and sequences and rows of its steps.
struct needs {
  uint32_t blocks = 0;
  uint32_t seqs = 1;  ///< Of one step.
  uint32_t batch = 1; ///< Of all steps.

  void add(const bench_options& o, const bench_case& x, uint32_t num_ranks) {
    constexpr uint32_t per_block = kernels::latent_cache::block_tokens;
    auto here = rounded_up(x.batch, num_ranks);
    auto length = x.is_prefill() ? x.prompt + 1
                                 : std::max(1u, x.depth) + answer_room(o, x);
    blocks = std::max(blocks, here * rounded_up(length, per_block));
    seqs = std::max(seqs, x.lane_batch > 0 ? x.lane_batch : here);
    batch = std::max(batch, here);
  }
};

template <class T>
void fill(std::optional<T>& flag, T value) {
  if (!flag)
    flag = value;
}

} // namespace

result<bench_prompt> parse_bench_prompt(const std::string& text) {
  constexpr uint32_t most = 1 << 20, most_at_once = 1024;
  bench_prompt out;
  auto x = text.find('x');
  auto is_right = x == text.npos || read_number(text.substr(0, x), out.count);
  is_right = is_right
             && read_number(text.substr(x == text.npos ? 0 : x + 1),
                            out.length);
  if (is_right && out.length <= most && out.count > 0
      && out.count <= most_at_once)
    return out;
  return failure{errc::invalid_input,
                 "'" + text
                   + "' is no length up to 1048576, such as 512 or, "
                     "for four prompts at once, 4x512"};
}

uint32_t bench_options::chunk() const {
  return cluster.max_num_batched_tokens.value_or(512);
}

double median(std::vector<double> values) {
  return quantile(std::move(values), 0.5);
}

double bench_series::median_seconds() const {
  return median(seconds);
}

double bench_series::tenth_seconds() const {
  return quantile(seconds, 0.1);
}

double bench_series::roofline_percent() const {
  std::vector<double> shares;
  for (size_t i = 0; i < seconds.size(); ++i)
    shares.push_back(100 * floors[i] / seconds[i]);
  return median(std::move(shares));
}

std::string bench_case::name() const {
  if (is_prefill())
    return "prefill " + (batch > 1 ? std::to_string(batch) + "x" : "")
           + std::to_string(prompt);
  return "decode, depth " + std::to_string(depth) + ", batch "
         + std::to_string(batch);
}

const bench_series* bench_case::of(size_t company) const {
  for (auto& x : actors)
    if (x.company == company)
      return &x;
  return nullptr;
}

std::string bench_company::name() const {
  if (is_bound)
    return "k=1, no wire";
  if (!flags.micro_batches)
    return "actors";
  auto& text = *flags.micro_batches;
  return text == "auto" ? text : "k=" + text;
}

uint32_t answer_room(const bench_options& o, const bench_case& x) {
  auto timed = o.num_steps + 1;
  if (x.batch == 1)
    return timed;
  auto rows = max_rows(o, x.batch) - x.batch;
  auto steps = (uint64_t{x.batch} * std::max(1u, x.depth) + rows - 1) / rows;
  return static_cast<uint32_t>(timed + 2 * steps + x.batch + 256);
}

uint32_t max_rows(const bench_options& o, uint32_t max_batch) {
  return std::max(o.chunk(), 2 * max_batch);
}

std::vector<bench_company> list_companies(const bench_options& o) {
  std::vector<bench_company> out;
  auto add = [&](std::optional<std::string> micro_batches) {
    bench_company x;
    x.flags = o.cluster;
    x.flags.micro_batches = std::move(micro_batches);
    x.flags.prefix_caching = "off"; // each round computes the same prompts
    topology_limits limits;
    if (auto& text = x.flags.micro_batches)
      limits.micro_batches = num_micro_batches(*text);
    x.most_lanes = limits.num_lanes();
    x.lanes = std::max(1u, limits.micro_batches);
    out.push_back(std::move(x));
  };
  for (auto& text : o.micro_batches)
    add(text);
  if (out.empty())
    add(std::nullopt);
  if (o.with_bound) {
    add("1");
    out.back().is_bound = true;
    out.back().flags.links.clear();
  }
  return out;
}

std::vector<bench_case> list_cases(const bench_options& o,
                                   const std::vector<bench_company>& all,
                                   uint32_t num_ranks) {
  std::vector<bench_case> out;
  auto rows = max_rows(o, 1);
  for (auto& prompt : o.prompts) {
    bench_case x;
    x.prompt = prompt.length;
    x.batch = prompt.count;
    x.tokens = double(prompt.length) * prompt.count;
    x.actors = all_of(all);
    out.push_back(std::move(x));
  }
  for (auto depth : o.depths) {
    for (auto batch : o.batches) {
      out.push_back(decode_case(o, depth, batch));
      out.back().actors = all_of(all);
    }
    for (auto batch : o.lane_batches)
      add_lane_cases(out, o, all, num_ranks, depth, batch);
  }
  for (auto& x : out)
    if (!x.is_prefill())
      rows = std::max(rows, max_rows(o, x.batch));
  for (auto& x : out)
    if (x.is_prefill())
      x.steps = std::ceil(x.tokens / rows);
  return out;
}

uint64_t most_positions(const bench_options& o,
                        const std::vector<bench_case>& cases) {
  uint64_t out = 0;
  for (auto& x : cases)
    out = std::max(out, x.is_prefill() ? uint64_t{x.prompt} + 1
                                       : uint64_t{std::max(1u, x.depth)}
                                           + answer_room(o, x));
  return out;
}

result<void> claim_for(bench_company& x, size_t i, const bench_options& o,
                       const std::vector<bench_case>& cases,
                       uint32_t num_ranks) {
  needs wanted;
  for (auto& c : cases)
    if (c.of(i))
      wanted.add(o, c, num_ranks);
  auto& flags = x.flags;
  fill(flags.max_model_len, uint32_t(most_positions(o, cases)));
  fill(flags.max_num_seqs, wanted.seqs);
  fill(flags.num_kv_blocks, wanted.blocks);
  flags.max_num_batched_tokens = max_rows(o, wanted.batch);
  auto room = *flags.max_num_seqs * x.lanes;
  if (wanted.batch > room)
    return failure{errc::invalid_input,
                   "--max-num-seqs: " + x.name() + " runs "
                     + std::to_string(room) + " sequences of a rank at once, "
                     + "and a batch has " + std::to_string(wanted.batch)};
  return {};
}

} // namespace troupe
