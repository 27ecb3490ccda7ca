#include "runtime/sim/virtual_unit.hpp"

#include "kernels/check.hpp"
#include "runtime/cost/cost_model.hpp"
#include "runtime/dispatch/answer_slab.hpp"
#include "runtime/dispatch/dispatch_planner.hpp"
#include "runtime/pipeline/step_walk.hpp"
#include "runtime/sim/even_routes.hpp"
#include "runtime/sim/shared_resource.hpp"
#include "runtime/tracing/span_recorder.hpp"
#include "runtime/tracing/stage_spans.hpp"

#include <algorithm>
#include <memory>
#include <numeric>

namespace troupe {

namespace {

using turn = shared_resource::turn;

/// GPUs whose spans are kept: with two there is one to exchange rows with.
constexpr uint32_t num_recorded = 2;

constexpr size_t spans_of_track = size_t{1} << 14;

/// Of an answer in virtual_unit: nobody looks into it.
constexpr uint64_t answer_bytes = 1;

virtual_duration in_virtual_time(double seconds) {
  return virtual_duration{int64_t(seconds * 1e9)};
}

class unit;

/// One GPU: its rank and its worker.
class gpu {
public:
  gpu(unit& in, uint32_t number);

  void begin(uint8_t lane);

  /// Rows of a rank for the experts here.
  struct rows {
    dispatch_key of;
    uint32_t first = 0; ///< Number of the first answer.
    uint32_t pairs = 0;
  };

  void arrive(const rows& x);
  void hear_answers(const rows& x, uint32_t from);

  node_spans spans() const {
    return recorder_->read();
  }

private:
  void carry_out(const walk_actions& actions);
  void run_stages(const walk_action& x);
  kernel_list kernels_of(const step_stage& x, uint8_t lane) const;
  void end(uint8_t lane);
  void dispatch(uint8_t lane);
  void send(const dispatch_key& of);
  void run(const std::vector<rows>& taken);
  void send_back(const std::vector<rows>& all);
  turn turn_of_worker() const;
  void enqueue(turn when, span_kind what, const kernel_list& kernels,
               const dispatch_key& of, job done = {});
  span span_of(span_kind what, const dispatch_key& of) const;
  void record(track_kind track, span x);
  void record_exchange(span_kind sent, span_kind arrived, const span& stretch);

  unit& unit_;
  const uint32_t number_;
  std::unique_ptr<span_recorder> recorder_; ///< Null: nothing is recorded.
  shared_resource compute_;
  shared_resource network_;
  step_walk walk_;
  dispatch_planner planner_;
  std::vector<bool> is_planned_; ///< By lane.
  // -- the worker
  /// By lane. A run begins when the rows of all ranks are there, as kernels do
  /// that receive them.
  std::array<std::vector<rows>, step_walk::max_lanes> waiting_;
};

class unit {
public:
  /// Its lanes' choices are drawn for all ranks together: so every slot gets
  /// as many rows as any other, if it can be done.
  explicit unit(const virtual_unit_options& x)
    : options(x), work(x.config, x.bytes), table(x.config),
      map(x.config.num_moe_layers(), num_slots(), x.num_ranks,
          nodes_of(x.num_ranks)),
      costs(x.machine.rates_beside(
        is_normal() ? x.machine.normal.multiprocessors : 0)),
      in(x.seed) {
    auto chance = in.stream("rows");
    for (auto& lane : x.lanes)
      experts.push_back(draw_experts(uint32_t(lane.rows()) * x.num_ranks,
                                     x.config.num_experts_per_tok, num_slots(),
                                     chance));
    for (uint32_t i = 0; i < x.num_ranks; ++i)
      gpus.push_back(std::make_unique<gpu>(*this, i));
  }

  /// Of a layer, in all workers.
  uint32_t num_slots() const {
    return options.config.n_routed_experts + options.redundant_experts;
  }

  /// What the rows of a rank in a lane choose.
  std::span<const int32_t> experts_of(uint32_t rank, uint8_t lane) const {
    auto count = experts[lane].size() / options.num_ranks;
    return std::span{experts[lane]}.subspan(rank * count, count);
  }

  bool is_normal() const {
    return options.exchange == exchange_mode::normal;
  }

  double exchange_seconds(exchange_kind what, double num_rows) const {
    auto& machine = options.machine;
    auto ranks = options.num_ranks;
    if (!is_normal())
      return machine.low_latency.seconds(what, ranks, num_rows);
    auto row_bytes = what == exchange_kind::dispatch ? work.dispatch_row_bytes()
                                                     : work.combine_row_bytes();
    return machine.normal.seconds(what, ranks,
                                  num_rows * nodes_of_row * row_bytes);
  }

  unit_step run() {
    auto top_k = options.config.num_experts_per_tok;
    nodes_of_row = reach_of_row(experts, top_k, map,
                                options.machine.normal.gpus_of_node);
    gpus_of_row = reach_of_row(experts, top_k, map, 1);

    for (uint8_t lane = 0; lane < options.lanes.size(); ++lane)
      for (auto& x : gpus)
        x->begin(lane);
    while (in.step()) {
    }
    unit_step out;
    for (uint32_t i = 0; i < std::min(num_recorded, options.num_ranks); ++i)
      out.spans.push_back(gpus[i]->spans());
    out.of_family = of_family;
    for (auto& x : out.of_family)
      x /= options.config.num_moe_layers();
    return out;
  }

  const virtual_unit_options& options;
  const layer_work work;
  const stage_table table;
  const placement map;
  const cost_model costs;
  world in;
  std::vector<std::vector<int32_t>> experts; ///< [lanes][ranks, rows, top_k]
  std::vector<std::unique_ptr<gpu>> gpus;
  // To which a row goes, in the mean.
  double nodes_of_row = 1;
  double gpus_of_row = 1;
  std::array<double, num_kernel_families> of_family = {};

private:
  static std::vector<node_id> nodes_of(uint32_t num_ranks) {
    std::vector<node_id> out(num_ranks);
    std::iota(out.begin(), out.end(), node_id{0});
    return out;
  }
};

step_walk::settings settings_of(const unit& x, uint32_t number) {
  step_walk::settings out;
  out.rank = rank_id(number);
  out.node = node_id(number);
  out.num_lanes = uint8_t(x.options.lanes.size());
  out.step_timeout = std::chrono::hours{1};
  return out;
}

gpu::gpu(unit& in, uint32_t number)
  : unit_(in), number_(number),
    recorder_(number < num_recorded ? std::make_unique<span_recorder>(
                "gpu-" + std::to_string(number), in.in.clock_of(no_life),
                spans_of_track)
                                    : nullptr),
    compute_(in.in,
             [this](auto& x) {
               auto is_worker = x.what == span_kind::run
                                || x.what == span_kind::land;
               record(is_worker ? track_kind::worker : track_kind::compute, x);
             }),
    network_(in.in,
             [this](auto& x) {
               auto sent = x.what;
               record_exchange(sent,
                               sent == span_kind::dispatch_sent
                                 ? span_kind::dispatch_arrived
                                 : span_kind::combine_arrived,
                               x);
             }),
    walk_(settings_of(in, number), in.table,
          step_walk::placement_ptr{std::shared_ptr<void>{}, &in.map}),
    planner_(in.map, in.options.config.num_experts_per_tok),
    is_planned_(in.options.lanes.size()) {
  if (recorder_)
    recorder_->identify(node_id(number));
}

// -- the rank -----------------------------------------------------------------

void gpu::begin(uint8_t lane) {
  carry_out(walk_.begin(lane));
}

/// All began with the world.
void gpu::end(uint8_t lane) {
  span x;
  x.what = span_kind::step;
  x.rank = uint16_t(number_);
  x.lane = lane;
  x.step = walk_.step_of(lane);
  x.begin = world_begin;
  x.end = unit_.in.now();
  x.amount = uint32_t(unit_.options.lanes[lane].rows());
  record(track_kind::lane, x);
}

void gpu::carry_out(const walk_actions& actions) {
  using kind = walk_action::kind;
  for (auto& x : actions)
    switch (x.what) {
      case kind::run:
        run_stages(x);
        break;
      case kind::notify:
        compute_.enqueue(turn::patient, {{}, {}, false, [this, s = x.serial] {
                                           carry_out(walk_.stage_ended(s, {}));
                                         }});
        break;
      case kind::dispatch:
        dispatch(x.lane);
        break;
      case kind::land:
      case kind::back:
        break;
      case kind::end:
        end(x.lane);
        break;
      case kind::fail:
        CHECK(false); // nothing fails here
    }
}

void gpu::run_stages(const walk_action& x) {
  for (auto i = x.first; i < x.last; ++i) {
    auto& stage = unit_.table[i];
    dispatch_key of;
    of.id.micro_batch = x.lane;
    of.layer = uint16_t(stage.layer);
    of.step = walk_.step_of(x.lane);
    enqueue(turn::patient, kind_of(stage.what), kernels_of(stage, x.lane), of);
  }
}

kernel_list gpu::kernels_of(const step_stage& x, uint8_t lane) const {
  auto& load = unit_.options.lanes[lane];
  auto rows = load.rows();
  auto answers = unit_.is_normal()
                   ? rows
                   : rows * unit_.options.config.num_experts_per_tok;
  return unit_.work.of(x.what, load, answers);
}

/// What the plan says is the same in every layer.
void gpu::dispatch(uint8_t lane) {
  auto& plan = walk_.plan_of(lane);
  if (!is_planned_[lane])
    CHECK(
      planner_.plan(0, unit_.experts_of(number_, lane),
                    std::vector<uint32_t>(uint32_t(
                      unit_.options.lanes[lane].rows())), // one replica each
                    plan));
  is_planned_[lane] = true;
  auto of = walk_.key_of(lane);
  auto rows = unit_.options.lanes[lane].rows();
  auto& work = unit_.work;
  auto copies = unit_.is_normal() ? 1
                                  : unit_.options.config.num_experts_per_tok;
  auto bytes
    = rows * (work.combine_row_bytes() + copies * work.dispatch_row_bytes());
  enqueue(turn::urgent, span_kind::pack, {layer_work::passing(bytes)}, of,
          [this, of] { send(of); });
  carry_out(walk_.dispatched(lane));
}

void gpu::send(const dispatch_key& of) {
  auto lane = of.id.micro_batch;
  auto time = unit_.exchange_seconds(exchange_kind::dispatch,
                                     unit_.options.lanes[lane].rows());
  auto arrive = [this, of, lane] {
    auto& plan = walk_.plan_of(lane);
    auto part = plan.workers.begin();
    for (uint32_t i = 0; i < unit_.gpus.size(); ++i)
      if (part != plan.workers.end() && part->worker == i) {
        unit_.gpus[i]->arrive({of, part->first, part->count});
        ++part;
      } else {
        unit_.gpus[i]->arrive({of, 0, 0});
      }
  };
  network_.enqueue(turn::patient,
                   {in_virtual_time(time),
                    span_of(span_kind::dispatch_sent, of), true, arrive});
}

void gpu::hear_answers(const rows& x, uint32_t from) {
  answer_section section{worker_id(from), x.first, x.pairs};
  std::vector<std::byte> bytes(answer_head(1) + x.pairs * answer_bytes);
  write_answer_head(bytes.data(), {&section, 1});
  carry_out(walk_.rows(x.of, node_id(from), read_answers(bytes, answer_bytes)));
}

// -- the worker ---------------------------------------------------------------

turn gpu::turn_of_worker() const {
  return unit_.options.order == compute_order::worker_first ? turn::urgent
                                                            : turn::patient;
}

void gpu::arrive(const rows& x) {
  auto& all = waiting_[x.of.id.micro_batch];
  all.push_back(x);
  if (all.size() == unit_.gpus.size())
    run(std::exchange(all, {}));
}

void gpu::run(const std::vector<rows>& taken) {
  double pairs = 0;
  for (auto& x : taken)
    pairs += x.pairs;
  auto& work = unit_.work;
  auto slots = double(unit_.map.experts_of(worker_id(number_))[0].size());
  auto& of = taken.front().of;
  // Those of one row are added before they leave, where it came once.
  auto answers = unit_.is_normal()
                   ? pairs * unit_.gpus_of_row
                       / unit_.options.config.num_experts_per_tok
                   : pairs;
  enqueue(turn_of_worker(), span_kind::land,
          {layer_work::passing(2 * pairs * work.dispatch_row_bytes())}, of);
  enqueue(turn_of_worker(), span_kind::run, work.experts(pairs, slots), of);
  enqueue(turn_of_worker(), span_kind::land,
          {layer_work::passing((pairs + answers) * work.combine_row_bytes())},
          of, [this, taken] { send_back(taken); });
}

void gpu::send_back(const std::vector<rows>& all) {
  double pairs = 0;
  for (auto& x : all)
    pairs += x.pairs;
  auto time = unit_.exchange_seconds(
    exchange_kind::combine, pairs / unit_.options.config.num_experts_per_tok);
  auto arrive = [this, all] {
    for (auto& x : all)
      if (x.pairs > 0)
        unit_.gpus[x.of.id.rank]->hear_answers(x, number_);
  };
  network_.enqueue(turn::patient,
                   {in_virtual_time(time),
                    span_of(span_kind::combine_sent, all.front().of), true,
                    arrive});
}

// -- times and spans ----------------------------------------------------------

void gpu::enqueue(turn when, span_kind what, const kernel_list& kernels,
                  const dispatch_key& of, job done) {
  double sum = 0;
  for (auto& x : kernels) {
    auto time = unit_.costs.seconds(x);
    sum += time;
    if (number_ == 0 && what != span_kind::head
        && unit_.options.config.is_moe(of.layer))
      unit_.of_family[size_t(x.family)] += time;
  }
  compute_.enqueue(
    when, {in_virtual_time(sum), span_of(what, of), true, std::move(done)});
}

span gpu::span_of(span_kind what, const dispatch_key& of) const {
  span out;
  out.what = what;
  out.rank = uint16_t(number_);
  out.lane = of.id.micro_batch;
  out.layer = of.layer;
  out.step = of.step;
  out.serial = of.id.serial;
  return out;
}

void gpu::record(track_kind track, span x) {
  if (!recorder_)
    return;
  auto is_lane = track == track_kind::lane;
  auto number = is_lane ? number_ * step_walk::max_lanes + x.lane : number_;
  auto& to = recorder_->open(track, number);
  to.add(x);
  if (x.what != span_kind::run)
    return;
  x.what = span_kind::rows;
  to.add(x);
}

/// Between the two that are recorded, at both ends.
void gpu::record_exchange(span_kind sent, span_kind arrived,
                          const span& stretch) {
  auto other = 1 - number_;
  if (!recorder_ || unit_.options.num_ranks < num_recorded)
    return;
  auto x = stretch;
  if (sent == span_kind::combine_sent)
    x.rank = uint16_t(other);
  x.peer = uint16_t(other);
  x.end = x.begin;
  x.what = sent;
  record(track_kind::sent, x);
  x.begin = x.end = stretch.end;
  x.peer = uint16_t(number_);
  x.what = arrived;
  unit_.gpus[other]->record(track_kind::arrived, x);
}

} // namespace

unit_step run_step(const virtual_unit_options& options) {
  CHECK(!options.lanes.empty() && options.lanes.size() <= step_walk::max_lanes);
  unit x{options};
  return x.run();
}

} // namespace troupe
