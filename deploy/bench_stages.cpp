#include "deploy/bench_stages.hpp"

#include "deploy/bench_cases.hpp"
#include "kernels/check.hpp"
#include "runtime/cluster/node_parts.hpp"
#include "runtime/dispatch/dispatch_planner.hpp"
#include "runtime/model/attention_forms.hpp"

#include <cmath>
#include <functional>
#include <future>

namespace troupe {

namespace {

constexpr uint32_t block_tokens = kernels::latent_cache::block_tokens;
constexpr uint32_t most_rows = 512, most_sequences = 32, deepest = 1024;
constexpr uint32_t rounds = 3;

/// Sequences alike in a step.
struct shape {
  uint32_t sequences = 1;
  uint32_t rows = 1; ///< Of each.
  uint32_t first = 0;
};

/// Shapes to learn from, and others.
std::vector<shape> shapes(bool is_check) {
  using list = std::vector<uint32_t>;
  auto batches = is_check ? list{3, 6, 12, 24} : list{1, 2, 4, 8, 16, 32};
  auto depths = is_check ? list{128, 640} : list{0, 256, 1023};
  auto prompts = is_check ? list{24, 96, 192, 384}
                          : list{16, 64, 128, 256, 512};
  auto firsts = is_check ? list{128} : list{0, 512};
  std::vector<shape> out;
  for (auto n : batches)
    for (auto depth : depths)
      out.push_back({n, 1, depth});
  for (auto n : prompts)
    for (auto first : firsts)
      out.push_back({1, n, first});
  return out;
}

/// Runs steps of one rank and one worker, and tells what each stage took.
class stage_runner {
public:
  using listener = std::function<void(
    const std::string& of, stage what, const step_load& load,
    const cost_model::run_load& run, double seconds)>;

  stage_runner(std::shared_ptr<node_parts> parts, const clock& time)
    : parts_(std::move(parts)), rank_(*parts_->ranks[0]),
      worker_(*parts_->workers[0]), stages_(*rank_.lanes[0]), time_(time),
      work_(parts_->config, bytes_of(*parts_)),
      planner_(parts_->maps[0], parts_->config.num_experts_per_tok) {
  }

  /// What the stage, or else the run of experts, is made of.
  kernel_list kernels_of(stage what, const step_load& load,
                         const cost_model::run_load& run) const {
    if (what == stage::end)
      return work_.experts(run.pairs, run.slots);
    return work_.of(what, load,
                    load.rows() * parts_->config.num_experts_per_tok);
  }

  bool has_room_for(const shape& x) const {
    auto pairs = x.sequences * x.rows * parts_->config.num_experts_per_tok;
    return pairs <= worker_.max_runs
           && x.first + x.rows <= parts_->cluster.max_model_len;
  }

  void step(const shape& x, const listener& hear) {
    auto rows = batch_of(x);
    auto load = step_load::of(rows);
    stages_.begin(rows);
    auto tell = [&](const char* name, stage what, auto fn) {
      hear(name, what, load, {}, seconds_of(*rank_.stream, fn));
    };
    auto& config = parts_->config;
    for (uint32_t i = 0; i < config.num_hidden_layers; ++i) {
      tell("prepare", stage::prepare, [&] { stages_.prepare(i); });
      tell("attention", stage::attention, [&] { stages_.attention(i); });
      if (!config.is_moe(i)) {
        tell("dense_mlp", stage::dense_mlp, [&] { stages_.dense_mlp(i); });
        continue;
      }
      tell("route", stage::route, [&] { stages_.route(i); });
      run_experts(i, hear);
      tell("shared_expert", stage::shared_expert,
           [&] { stages_.shared_expert(i); });
      tell("combine", stage::combine,
           [&] { stages_.combine(worker_.stages->output(), plan_.row_of); });
    }
    load.absorbed.rows = x.sequences; // those with logits
    load.multi_head.rows = 0;
    tell("head", stage::head, [&] { stages_.head(); });
  }

private:
  /// As they lie here.
  static value_bytes bytes_of(const node_parts& x) {
    auto of = [](kernels::dtype type) { return double(size_of(type)); };
    return {of(x.attention->layers.front().o.type), of(x.dispatch_layout.type),
            of(kernels::dtype::f32), of(x.ranks[0]->pool->layer(0).type)};
  }

  batch batch_of(const shape& x) const {
    batch out;
    auto num_blocks = (x.first + x.rows + block_tokens - 1) / block_tokens;
    for (uint32_t i = 0; i < x.sequences; ++i) {
      batch_rows next;
      for (uint32_t k = 0; k < x.rows; ++k)
        next.tokens.push_back(
          int32_t((i * 7 + k * 13) % parts_->tokens.num_choices));
      next.first_position = x.first;
      kernels::block_table blocks;
      for (uint32_t k = 0; k < num_blocks; ++k)
        blocks.push_back(i * num_blocks + k);
      next.blocks = std::make_shared<const kernels::block_table>(blocks);
      if (x.rows >= min_multi_head_segment)
        next.form = attention_form::multi_head;
      next.want_logits = true;
      out.sequences.push_back(std::move(next));
    }
    return out;
  }

  /// All rows in one run, as from one rank.
  void run_experts(uint32_t layer, const listener& hear) {
    CHECK(planner_.plan(layer - parts_->config.first_k_dense_replace,
                        stages_.chosen().experts, stages_.positions(), plan_));
    auto& slab = plan_.slabs.at(0);
    auto& section = slab.sections.at(0);
    std::vector<uint32_t> rows;
    for (auto i : section.row)
      rows.push_back(slab.tokens[i]);
    cost_model::run_load load;
    load.pairs = double(rows.size());
    load.slots = double(section.slots.size());
    auto took = seconds_of(*worker_.stream, [&] {
      worker_.stages->run(layer, stages_.operand(), rows, section.slots);
    });
    hear("experts", stage::end, {}, load, took);
  }

  /// From when the stream comes to what `fn` enqueues to its end.
  double seconds_of(kernels::stream& on,
                    const std::function<void()>& fn) const {
    clock::instant begin, end;
    std::promise<void> done;
    on.notify([&](auto&) { begin = time_.now(); });
    fn();
    on.notify([&](auto&) {
      end = time_.now();
      done.set_value();
    });
    done.get_future().wait();
    return std::chrono::duration<double>(end - begin).count();
  }

  const std::shared_ptr<node_parts> parts_;
  rank_parts& rank_;
  worker_parts& worker_;
  attention_stages& stages_;
  const clock& time_;
  const layer_work work_;
  dispatch_planner planner_;
  dispatch_plan plan_;
};

result<std::shared_ptr<node_parts>> load(const std::string& model_dir,
                                         uint32_t num_threads) {
  auto config = read_model_config(model_dir);
  if (!config)
    return config.why();
  auto cluster = single_process(1, 1);
  cluster.max_model_len = std::min(most_rows + deepest,
                                   config->max_position_embeddings);
  cluster.limits.micro_batches = 1;
  cluster.limits.max_num_seqs = most_sequences;
  cluster.limits.max_num_batched_tokens = most_rows;
  cluster.limits.num_kv_blocks = most_sequences * (deepest / block_tokens + 1);
  node_options options;
  options.num_threads = num_threads;
  return load_node_parts(cluster, 0, model_dir, options);
}

void learn(stage_runner& runner, stages_report& out) {
  for (uint32_t round = 0; round <= rounds; ++round)
    for (auto& x : shapes(false)) {
      if (!runner.has_room_for(x))
        continue;
      runner.step(
        x, [&](auto& of, auto what, auto& load, auto& run, double seconds) {
          if (round == 0)
            return; // caches are cold
          ++out.checks[of].num_seen;
          out.costs.see_kernels(runner.kernels_of(what, load, run), seconds);
          if (what == stage::end)
            out.costs.see_run(run, seconds);
          else
            out.costs.see(what, load, seconds);
        });
    }
}

void check(stage_runner& runner, stages_report& out) {
  std::map<std::string, std::vector<double>> errors;
  std::vector<double> of_rates;
  for (uint32_t round = 0; round < rounds; ++round)
    for (auto& x : shapes(true)) {
      if (!runner.has_room_for(x))
        continue;
      runner.step(
        x, [&](auto& of, auto what, auto& load, auto& run, double seconds) {
          auto expected = what == stage::end ? out.costs.run_seconds(run)
                                             : out.costs.seconds(what, load);
          errors[of].push_back(std::abs(expected - seconds) / seconds);
          double sum = 0;
          for (auto& kernel : runner.kernels_of(what, load, run))
            sum += out.costs.seconds(kernel);
          of_rates.push_back(std::abs(sum - seconds) / seconds);
        });
    }
  for (auto& [of, all] : errors) {
    out.checks[of].num_checked = all.size();
    out.checks[of].error = median(all);
  }
  out.error_of_rates = median(of_rates);
}

} // namespace

result<stages_report> bench_stages(const std::string& model_dir,
                                   uint32_t num_threads, const clock& time) {
  auto parts = load(model_dir, num_threads);
  if (!parts)
    return parts.why();
  stage_runner runner{*parts, time};
  stages_report out;
  learn(runner, out);
  check(runner, out);
  (*parts)->end_streams();
  return out;
}

} // namespace troupe
