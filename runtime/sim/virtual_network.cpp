#include "runtime/sim/virtual_network.hpp"

#include <algorithm>
#include <cstring>

namespace troupe {

namespace {

using link_kind = link_fault::kind;

/// Bytes of memory that frames have used and that are kept for the next ones.
constexpr size_t max_idle = size_t{64} << 20;

constexpr uint16_t port = 7000;

} // namespace

/// What a world draws where a process would ask the kernel.
class virtual_network::nonces final : public entropy {
public:
  explicit nonces(random_stream stream) : stream_(stream) {
  }

  void fill(std::span<std::byte> bytes) override {
    for (auto& x : bytes)
      x = std::byte(stream_.next());
  }

private:
  random_stream stream_;
};

virtual_network::virtual_network(world& w, virtual_network_options options)
  : world_(w), options_(std::move(options)),
    chance_(std::make_unique<nonces>(w.stream("nonces"))),
    pool_(std::make_shared<block_pool>(max_idle)) {
}

virtual_network::~virtual_network() {
  for (auto x : transports_)
    CHECK(!x);
}

std::unique_ptr<virtual_transport>
virtual_network::open(life_id life, node_identity self,
                      std::optional<node_id> self_id, admission admit,
                      transport_handler handler, const logger& log) {
  CHECK(world_.is_alive(life));
  for (auto& [incarnation, other] : lives_)
    CHECK(other != life);
  CHECK(lives_.emplace(self.incarnation, life).second);
  auto out = std::make_unique<virtual_transport>(*this, life, std::move(self),
                                                 self_id, std::move(admit),
                                                 std::move(handler), log);
  if (transports_.size() <= life)
    transports_.resize(life + 1);
  transports_[life] = out.get();
  world_.at_end(life, [this, life] {
    if (auto x = find(life))
      x->die();
  });
  return out;
}

endpoint_address virtual_network::address_of(node_id node) {
  return {"10.0." + std::to_string(node >> 8) + "."
            + std::to_string(node & 255),
          port};
}

void virtual_network::set_link(node_id from, node_id to,
                               const link_model& model) {
  link(from, to).set_model(model);
}

// -- faults -------------------------------------------------------------------

bool virtual_network::active_fault::concerns(node_id a, node_id b) const {
  auto is = [](node_id x, node_id y) { return x == no_node || x == y; };
  return (is(from, a) && is(to, b))
         || (is_both_ways && is(from, b) && is(to, a));
}

net_fault virtual_network::begin(link_fault what, node_id from, node_id to,
                                 bool is_both_ways) {
  what.number = faults_.size() + 1;
  active_fault x{std::make_shared<link_fault>(what), from, to, is_both_ways};
  if (from != no_node && to != no_node) {
    link(from, to);
    link(to, from);
  }
  for (auto& [ends, y] : links_)
    if (x.concerns(ends.first, ends.second))
      y->begin(x.what);
  faults_.push_back(x);
  return net_fault(faults_.size() - 1);
}

net_fault virtual_network::cut(node_id a, node_id b, frame_filter which) {
  return begin({.what = link_kind::cut, .which = which}, a, b, true);
}

net_fault virtual_network::cut_oneway(node_id from, node_id to,
                                      frame_filter which) {
  return begin({.what = link_kind::cut, .which = which}, from, to, false);
}

net_fault virtual_network::clog(node_id a, node_id b, frame_filter which) {
  return begin({.what = link_kind::clog, .which = which}, a, b, true);
}

net_fault virtual_network::delay(node_id a, node_id b, virtual_duration by,
                                 frame_filter which) {
  return begin({.what = link_kind::delay, .which = which, .time = by}, a, b,
               true);
}

net_fault virtual_network::rate(node_id a, node_id b, uint64_t bytes_per_second,
                                frame_filter which) {
  CHECK(bytes_per_second > 0);
  return begin({.what = link_kind::rate,
                .which = which,
                .bytes_per_second = bytes_per_second},
               a, b, true);
}

net_fault virtual_network::duplicate(node_id from, node_id to, double p,
                                     frame_filter which) {
  return begin({.what = link_kind::duplicate, .which = which, .p = p}, from, to,
               false);
}

net_fault virtual_network::corrupt(node_id from, node_id to, double p,
                                   frame_filter which) {
  return begin({.what = link_kind::corrupt, .which = which, .p = p}, from, to,
               false);
}

net_fault virtual_network::replay(node_id from, node_id to, double p,
                                  frame_filter which) {
  return begin({.what = link_kind::replay, .which = which, .p = p}, from, to,
               false);
}

size_t virtual_network::reset(node_id a, node_id b) {
  size_t out = 0;
  auto is = [](node_id x, node_id y) { return x == no_node || x == y; };
  for (life_id x = 1; x < transports_.size(); ++x)
    for (life_id y = 1; y < transports_.size(); ++y)
      if (x != y && transports_[x] && is(a, world_.node_of(x))
          && is(b, world_.node_of(y)))
        out += transports_[x]->reset(y);
  return out;
}

void virtual_network::heal(net_fault x) {
  auto& fault = faults_.at(x);
  if (std::exchange(fault.is_healed, true))
    return;
  for (auto& [ends, y] : links_)
    if (fault.concerns(ends.first, ends.second))
      y->heal(fault.what);
}

uint64_t virtual_network::num_hit(net_fault x) const {
  return faults_.at(x).what->num_hit;
}

// -- for transports and doors -------------------------------------------------

entropy& virtual_network::chance() {
  return *chance_;
}

virtual_link& virtual_network::link(node_id from, node_id to) {
  auto& out = links_[{from, to}];
  if (out)
    return *out;
  out = std::make_unique<virtual_link>(world_, from, to, options_.link,
                                       options_.retransmission);
  for (auto& x : faults_)
    if (!x.is_healed && x.concerns(from, to))
      out->begin(x.what);
  return *out;
}

virtual_channel& virtual_network::connect(life_id from, life_id to,
                                          virtual_channel::seal_fn seal) {
  auto& way = link(world_.node_of(from), world_.node_of(to));
  channels_.push_back(std::make_unique<virtual_channel>(
    world_, way, from, to, pool_, std::move(seal), [this, to](packet x) {
      if (auto there = find(to))
        there->receive(std::move(x));
    }));
  return *(newest_[{from, to}] = channels_.back().get());
}

size_t virtual_network::num_under_way(life_id from, life_id to) const {
  auto i = newest_.find({from, to});
  return i == newest_.end() ? 0 : i->second->num_under_way();
}

life_id virtual_network::life_of(uint64_t incarnation) const {
  return lives_.at(incarnation);
}

virtual_transport* virtual_network::find(life_id life) const {
  return life < transports_.size() ? transports_[life] : nullptr;
}

void virtual_network::gone(virtual_transport& x, life_id life) {
  if (find(life) == &x)
    transports_[life] = nullptr;
}

void virtual_network::count_damage(const packet& x) {
  num_unexplained_ += !x.is_tampered;
}

virtual_door* virtual_network::door_at(const endpoint_address& address) {
  auto node = node_at(address);
  return node ? door_of(world_.life_of(*node)) : nullptr;
}

virtual_door* virtual_network::door_of(life_id life) {
  auto x = find(life);
  return x ? x->door() : nullptr;
}

std::optional<node_id>
virtual_network::node_at(const endpoint_address& address) {
  for (life_id life = 1; life < transports_.size(); ++life)
    if (auto node = world_.node_of(life);
        address.port == port && address.host == address_of(node).host)
      return node;
  return std::nullopt;
}

void virtual_network::say(node_id from, node_id to, life_id life, job what) {
  link(from, to).say(life, std::move(what));
}

line_id virtual_network::next_line() {
  return ++last_line_;
}

} // namespace troupe
