#include "runtime/cost/cost_model.hpp"

#include <cstdio>

namespace troupe {

namespace {

using names = std::array<const char*, running_fit::max_parts>;

constexpr names parts_of_rows = {"once", "row", "", ""};
constexpr names parts_of_prepare = {"once", "row", "multi-head key",
                                    "multi-head row"};
constexpr names parts_of_attention = {"once", "row", "absorbed pair",
                                      "multi-head pair"};
constexpr names parts_of_run = {"once", "pair", "slot", ""};
constexpr names parts_of_frame = {"once", "byte", "", ""};

/// Of a rate: what takes no time that can be seen.
constexpr double no_limit = 1e18;

const char* name_of(stage x) {
  switch (x) {
    case stage::prepare:
      return "prepare";
    case stage::attention:
      return "attention";
    case stage::dense_mlp:
      return "dense_mlp";
    case stage::route:
      return "route";
    case stage::shared_expert:
      return "shared_expert";
    case stage::combine:
      return "combine";
    case stage::head:
      return "head";
    case stage::dispatch:
    case stage::end:
      break;
  }
  return "";
}

const names& parts_of(stage x) {
  return x == stage::prepare     ? parts_of_prepare
         : x == stage::attention ? parts_of_attention
                                 : parts_of_rows;
}

void append(std::vector<cost_model::parameter>& to, const char* of,
            const names& parts, const running_fit& fit) {
  if (!(fit.weight() > 0))
    return;
  for (size_t i = 0; i < parts.size(); ++i)
    if (*parts[i] != 0)
      to.push_back({of, parts[i], fit.per_part()[i]});
}

} // namespace

cost_model::cost_model(double kept)
  : run_(kept), frames_(kept), kernels_(kept) {
  stages_.fill(running_fit{kept});
}

cost_model::cost_model(const device_rates& given) : given_(given) {
}

running_fit::amounts cost_model::amounts_of(stage what, const step_load& x) {
  auto& heads = x.multi_head;
  switch (what) {
    case stage::prepare:
      return {1, x.rows(), heads.keys, heads.rows};
    case stage::attention:
      return {1, x.rows(), x.absorbed.pairs, heads.pairs};
    default:
      return {1, x.rows(), 0, 0};
  }
}

void cost_model::see(stage what, const step_load& load, double seconds) {
  stages_[size_t(what)].add(amounts_of(what, load), seconds);
}

void cost_model::see_run(const run_load& load, double seconds) {
  run_.add({1, load.pairs, load.slots, 0}, seconds);
}

void cost_model::see_frame(double bytes, double seconds) {
  frames_.add({1, bytes, 0, 0}, seconds);
}

/// A fit has no longer part: all that a kernel does takes its time.
void cost_model::see_kernels(const kernel_list& all, double seconds) {
  running_fit::amounts sum = {};
  for (auto& x : all) {
    auto is_attention = x.family == kernel_family::core_attention;
    sum[0] += 1;
    sum[1] += x.bytes;
    sum[is_attention ? 3 : 2] += x.flops;
  }
  kernels_.add(sum, seconds);
}

double cost_model::seconds(stage what, const step_load& load) const {
  return stages_[size_t(what)].predict(amounts_of(what, load));
}

double cost_model::run_seconds(const run_load& load) const {
  return run_.predict({1, load.pairs, load.slots, 0});
}

double cost_model::frame_seconds(double bytes) const {
  return frames_.predict({1, bytes, 0, 0});
}

device_rates cost_model::rates() const {
  if (given_)
    return *given_;
  auto rate = [](double price) { return price > 0 ? 1 / price : no_limit; };
  auto [kernel, byte, flop, attention_flop] = kernels_.per_part();
  device_rates out;
  out.per_kernel = kernel;
  out.bytes_per_second = out.copied_per_second = rate(byte);
  out.narrow_flops = out.wide_flops = rate(flop);
  out.attention_flops = rate(attention_flop);
  return out;
}

double cost_model::seconds(const kernel_work& x) const {
  return troupe::seconds(x, rates());
}

std::vector<cost_model::parameter> cost_model::parameters() const {
  std::vector<parameter> out;
  for (size_t i = 0; i < num_stages; ++i)
    append(out, name_of(stage(i)), parts_of(stage(i)), stages_[i]);
  append(out, "experts", parts_of_run, run_);
  append(out, "frame", parts_of_frame, frames_);
  return out;
}

std::string to_string(const std::vector<cost_model::parameter>& all) {
  std::string out;
  for (auto& x : all) {
    char line[96];
    std::snprintf(line, sizeof line, "%-15s %-16s %12.5f us\n", x.of.c_str(),
                  x.per.c_str(), x.seconds * 1e6);
    if (x.seconds > 0)
      out += line;
  }
  return out;
}

} // namespace troupe
