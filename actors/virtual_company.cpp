#include "actors/virtual_company.hpp"

#include "actors/networks.hpp"
#include "runtime/cluster/kept_placement.hpp"
#include "runtime/cluster/numerics.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// For the spans of all nodes together, about.
constexpr size_t spans_of_company = size_t{1} << 20;
constexpr size_t least_spans = size_t{1} << 10;

} // namespace

virtual_company::virtual_company(world& in, virtual_company_options options)
  : world_(in), options_(std::move(options)),
    incarnations_(in.stream("incarnations")), clocks_(in.stream("clocks")),
    net_(in, {.transports = options_.transports, .link = options_.parts.link}) {
  for (auto& node : options_.cluster.nodes) {
    slot x;
    x.name = node.name;
    x.log = std::make_unique<logger>(
      node.name, options_.level,
      [this](log_level, const std::string& who, std::string_view line) {
        if (options_.log)
          options_.log(world_.now(), who, line);
      });
    if (options_.spans) {
      x.spans = std::make_shared<span_recorder>(
        node.name, world_.clock_of(no_life),
        std::max(spans_of_company / options_.cluster.nodes.size(),
                 least_spans));
      x.spans->identify(node_id(slots_.size()));
    }
    x.is_expected = !node.later;
    slots_.push_back(std::move(x));
  }
}

virtual_company::~virtual_company() {
  for (node_id n = 0; n < slots_.size(); ++n)
    crash(n);
  std::vector<node_spans> recorded;
  for (auto& x : slots_)
    if (x.spans)
      recorded.push_back(x.spans->read());
  if (options_.spans)
    options_.spans(std::move(recorded));
}

node_setup virtual_company::setup_of(node_id node, life_id life) {
  auto& x = slots_[node];
  x.device = std::make_shared<virtual_device>(
    world_, life, node, options_.compute, cost_model{options_.parts.device});
  if (on_cache_)
    x.device->observe_cache([this, node](auto& op) { on_cache_(node, op); });
  node_setup out;
  auto& here = options_.cluster.nodes[node];
  if (here.open)
    x.name = "guest-" + std::to_string(life);
  out.name = x.name;
  out.incarnation = incarnations_.next() | 1; // never 0
  out.log = x.log.get();
  out.options.num_threads = 0;
  out.options.allow_overcommit = true;
  out.options.device = x.device;
  out.options.spans = x.spans;
  out.options.model = options_.model;
  out.options.kv_host_bytes = options_.kv_host_bytes;
  network_options net;
  net.cluster = options_.cluster.cluster;
  net.name = out.name;
  net.incarnation = out.incarnation;
  net.log = out.log;
  if (here.open)
    net.brings = {uint32_t(here.ranks.size()), uint32_t(here.workers.size())};
  if (node == 0) {
    front_ = std::make_unique<front_end>(options_.cluster,
                                         options_.model->config());
    out.cluster = options_.cluster;
    out.model_dir = options_.model->source().directory();
    out.status = front_->status();
    out.status->outage_timeout = options_.outage_timeout;
    out.state = state_;
    out.options.balance = options_.balance;
    std::string trouble; // as when nobody had room for who was lost
    out.begins_with
      = go_on_with(place_experts(options_.cluster, options_.model->config()),
                   state_->last(), trouble, options_.cluster.later_nodes());
    out.status->moving = options_.moving;
    out.status->on_owner = on_owner_;
    out.status->on_lost = on_lost_;
    out.status->on_back = on_back_;
    out.status->on_waited = on_waited_;
    out.places = net.places = std::make_shared<open_places>(*out.cluster);
  }
  out.make_network = virtual_network_of(net_, life, std::move(net));
  return out;
}

/// Each machine has a time of its own.
void virtual_company::set_clock(life_id life) {
  auto& [drift, offset] = options_.parts.clocks;
  auto& time = world_.clock_of(life);
  if (offset.count() > 0)
    time.advance(
      virtual_duration{int64_t(clocks_.uniform(uint64_t(offset.count())))});
  time.set_drift(int64_t(clocks_.uniform(2 * uint64_t{drift} + 1)) - drift);
}

void virtual_company::start(node_id node) {
  if (find(node))
    return;
  auto life = world_.begin_life(node);
  set_clock(life);
  auto made = virtual_node::start(
    world_, life, setup_of(node, life), [this, node] { note_end(node); },
    options_.disk_time);
  CHECK(made); // nothing listens at its address but itself
  slots_[node].is_expected = true;
  auto& self = slots_[node].self = std::move(*made);
  if (node == 0)
    front_->connect(self->core().here());
  else
    self->core().join(net_.address_of(0), options_.join_timeout);
}

void virtual_company::start_all() {
  for (node_id n = 0; n < slots_.size(); ++n)
    if (slots_[n].is_expected)
      start(n);
}

void virtual_company::crash(node_id node) {
  slots_[node].self.reset();
  if (node == 0)
    front_.reset();
}

/// An actor says so: its process goes in an event of its own.
void virtual_company::note_end(node_id node) {
  world_.at(world_.now(), [this, node, life = find(node)->life()] {
    auto* self = find(node);
    if (!self || self->life() != life)
      return;
    crash(node);
    if (node != 0 && options_.restart_after.count() > 0)
      start_again(node);
  });
}

void virtual_company::start_again(node_id node) {
  world_.at(world_.now() + options_.restart_after, [this, node] {
    if (find(0))
      start(node);
  });
}

void virtual_company::spare_devices() {
  for (auto& x : slots_)
    if (x.device)
      x.device->fail_nothing();
}

bool virtual_company::is_whole() {
  return std::ranges::all_of(slots_, [](auto& x) {
    return !x.is_expected || (x.self && !x.self->core().is_over());
  });
}

bool virtual_company::is_serving() {
  if (!front_ || front_->trouble())
    return false;
  for (auto& x : slots_)
    if (x.is_expected
        && (!x.self || x.self->core().at() != node_life::stage::serving))
      return false;
  return true;
}

} // namespace troupe
