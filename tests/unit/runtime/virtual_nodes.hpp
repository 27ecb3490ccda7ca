#pragma once

/// Nodes of a virtual world that write down what they hear.

#include "runtime/sim/virtual_network.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace troupe {

struct virtual_node {
  struct frame_seen {
    node_id from;
    frame_class kind;
    uint64_t id;
    std::string text;
    virtual_instant at;
  };

  life_id life = no_life;
  uint64_t incarnation = 0;
  std::unique_ptr<virtual_transport> net;
  std::vector<frame_seen> frames;
  std::vector<std::string> joined, lost, failed;
  virtual_instant lost_at = {};
  size_t num_asked = 0; ///< For a place.
  std::vector<uint64_t> stayed_away;

  std::vector<uint64_t> ids(lane which) const {
    std::vector<uint64_t> out;
    for (auto& x : frames)
      if (lane_of(x.kind) == which)
        out.push_back(x.id);
    return out;
  }

  uint64_t refused(refusal why) const {
    return net->stats().frames_refused[size_t(why)];
  }
};

inline body body_of(std::string_view text) {
  auto copy = std::make_shared<std::string>(text);
  return {copy, std::as_bytes(std::span{*copy})};
}

class VirtualNodes : public testing::Test {
public:
  using milliseconds = std::chrono::milliseconds;

  explicit VirtualNodes(uint64_t seed = 1, virtual_network_options options = {})
    : w(seed), net(w, options) {
  }

  ~VirtualNodes() override {
    for (auto& x : all)
      x->net.reset();
  }

  /// A new life of a node. Node n is called "n" and admits whom it knows.
  virtual_node& start(node_id id) {
    all.push_back(std::make_unique<virtual_node>());
    auto& x = *all.back();
    x.life = w.begin_life(id);
    x.incarnation = 1000 * all.size() + id;
    node_identity self;
    self.name = std::to_string(id);
    self.incarnation = x.incarnation;
    admission admit;
    admit.place_of = [&x](const node_identity& who) -> result<node_id> {
      ++x.num_asked;
      if (who.name == "99")
        return failure{errc::refused, "there is no place for 99"};
      return node_id(std::stoi(who.name));
    };
    admit.stayed_away = [&x](node_id, uint64_t incarnation) {
      x.stayed_away.push_back(incarnation);
    };
    x.net = net.open(x.life, self, id, std::move(admit), handler(x), log);
    return x;
  }

  transport_handler handler(virtual_node& x) {
    transport_handler out;
    out.on_frame = [this, &x](node_id from, frame&& y) {
      auto bytes = y.payload.bytes();
      x.frames.push_back(
        {from,
         y.header.kind,
         y.header.id,
         {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
         w.now()});
    };
    out.on_peer_joined = [&x](node_id, const node_identity& who) {
      x.joined.push_back(who.name);
    };
    out.on_peer_lost = [this, &x](node_id, uint64_t, const std::string& why) {
      x.lost.push_back(why);
      x.lost_at = w.now();
    };
    out.on_connect_failed = [&x](node_id, const failure& why) {
      x.failed.push_back(why.message);
    };
    return out;
  }

  void dial(virtual_node& from, node_id to,
            milliseconds deadline = milliseconds{10000},
            bool is_patient = false) {
    from.net->connect(to, {net.address_of(to), {}, deadline, is_patient});
  }

  void meet(virtual_node& a, virtual_node& b) {
    auto before = b.joined.size();
    dial(a, w.node_of(b.life));
    run(milliseconds{100});
    ASSERT_EQ(b.joined.size(), before + 1);
    a.net->monitor(w.node_of(b.life));
    b.net->monitor(w.node_of(a.life));
    run(milliseconds{1});
  }

  void send(virtual_node& from, node_id to, uint64_t id,
            std::string_view text = "words",
            frame_class kind = frame_class::control) {
    frame_header header;
    header.kind = kind;
    header.id = id;
    from.net->send(to, header, body_of(text));
  }

  void run(virtual_duration time) {
    w.run_for(time);
  }

  world w;
  virtual_network net;
  logger log{"test", log_level::error};
  std::vector<std::unique_ptr<virtual_node>> all;
};

} // namespace troupe
