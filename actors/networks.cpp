#include "actors/networks.hpp"

#include "runtime/clock.hpp"
#include "runtime/cluster/numerics.hpp"
#include "runtime/entropy.hpp"
#include "runtime/transport/loopback.hpp"
#include "runtime/transport/transport_decorator.hpp"
#include "runtime/transport/ucx_transport.hpp"

#include <algorithm>
#include <map>
#include <mutex>

namespace troupe {

namespace {

struct lone_network {
  loopback_network net;
};

/// A transport together with the network that has to outlive it.
class lone_transport final : lone_network, public transport_decorator {
public:
  lone_transport(const network_options& options, transport_handler handler)
    : lone_network{loopback_network{{.cluster = options.cluster}}},
      transport_decorator(net.join(
        0, {options.name, options.incarnation, 0, {}}, std::move(handler))) {
  }
};

/// How long a node may take to answer the one who dials it.
constexpr std::chrono::milliseconds connect_deadline{10000};

/// Who is who, as far as a node has been told.
class register_of_names {
public:
  /// `places`: of the first node, who says it there.
  explicit register_of_names(std::shared_ptr<open_places> places)
    : places_(std::move(places)) {
  }

  void set(std::vector<std::string> names) {
    std::lock_guard lock{mutex_};
    names_ = std::move(names);
  }

  /// Nobody but this process becomes this node.
  void settle(node_id node, const std::string& name, uint64_t incarnation,
              const std::string& why) {
    std::lock_guard lock{mutex_};
    if (node < names_.size())
      names_[node] = name; // of an open place
    settled_[node] = {incarnation, why};
  }

  result<node_id> place_of(const node_identity& who) const {
    if (places_)
      return places_->place_of(who);
    std::lock_guard lock{mutex_};
    auto i = std::ranges::find(names_, who.name);
    if (i == names_.end())
      return failure{errc::refused,
                     "this cluster has no place for node " + who.name};
    auto out = node_id(i - names_.begin());
    auto known = settled_.find(out);
    if (known != settled_.end() && known->second.first != who.incarnation)
      return failure{errc::refused, known->second.second};
    return out;
  }

  /// For doors, which may outlive their maker.
  static admission admit(const std::shared_ptr<register_of_names>& names) {
    admission out;
    out.place_of = [names](auto& who) { return names->place_of(who); };
    if (names->places_)
      out.stayed_away = [names](node_id node, uint64_t incarnation) {
        names->places_->stayed_away(node, incarnation);
      };
    return out;
  }

private:
  const std::shared_ptr<open_places> places_; ///< Or null.
  mutable std::mutex mutex_;                  ///< For what follows.
  std::vector<std::string> names_;
  /// Whose the place is, by incarnation, and what others are told.
  std::map<node_id, std::pair<uint64_t, std::string>> settled_;
};

node_identity identity_of(const network_options& options) {
  node_identity out;
  out.name = options.name;
  out.incarnation = options.incarnation;
  out.fingerprint = operations_fingerprint();
  out.brings = options.brings;
  return out;
}

std::vector<std::string> names_of(const topology& cluster) {
  std::vector<std::string> out;
  for (auto& node : cluster.nodes)
    out.push_back(node.name);
  return out;
}

/// What the UCX transport lives on; owned beside it.
struct real_world {
  system_clock time;
  system_entropy chance;
};

ucx_options ucx_options_of(const network_options& options) {
  ucx_options out;
  out.listen = options.listen;
  out.cluster = options.cluster;
  out.secret = options.secret;
  out.insecure = options.insecure;
  out.tls = options.tls;
  out.self = identity_of(options);
  if (options.places)
    out.self_id = 0;
  if (options.faults)
    out.withholds_heartbeat = [faults = options.faults](node_id peer) {
      return faults->withholds_heartbeat(peer);
    };
  return out;
}

/// What those transports have in common that meet others at doors.
template <class Transport>
void fill_network(network& out, Transport& net,
                  const std::shared_ptr<register_of_names>& names) {
  out.address = net.self().listen;
  out.connect = [&net](node_id peer, const endpoint_address& address) {
    net.connect(peer, {address, {}, connect_deadline});
  };
  out.join = [&net](const endpoint_address& address,
                    std::chrono::milliseconds deadline) {
    net.connect(0, {address, {}, deadline, /*is_patient=*/true});
  };
  out.monitor = [&net](node_id peer) { net.monitor(peer); };
  out.identify = [&net, names](node_id self, const topology& cluster) {
    names->set(names_of(cluster));
    if (self != 0)
      net.set_self(self);
  };
  out.settle_place = [names](node_id node, const std::string& name,
                             uint64_t incarnation, const std::string& why) {
    names->settle(node, name, incarnation, why);
  };
}

std::unique_ptr<transport> slowed(std::unique_ptr<transport> inner,
                                  std::shared_ptr<link_emulator> links) {
  auto out = std::make_unique<emulated_transport>(std::move(inner),
                                                  std::move(links));
  out->start();
  return out;
}

} // namespace

network_factory ucx_network(network_options options) {
  return [options](transport_handler handler) -> result<network> {
    auto names = std::make_shared<register_of_names>(options.places);
    auto world = std::make_shared<real_world>();
    std::shared_ptr<link_emulator> slow;
    if (!options.links.empty()) {
      slow = std::make_shared<link_emulator>(options.links, options.name,
                                             world->time);
      handler = slow->listen(std::move(handler));
    }
    if (options.faults)
      handler = options.faults->listen(std::move(handler));
    auto made = ucx_transport::listen(
      ucx_options_of(options), {world->time, world->chance, *options.log},
      register_of_names::admit(names), std::move(handler));
    if (!made)
      return made.why();
    network out;
    fill_network(out, **made, names);
    out.net = std::move(*made);
    if (options.faults)
      out.net = std::make_unique<faulty_transport>(std::move(out.net),
                                                   options.faults);
    if (slow)
      out.net = slowed(std::move(out.net), slow);
    out.world = world;
    return out;
  };
}

network_factory virtual_network_of(virtual_network& net, life_id life,
                                   network_options options) {
  return [&net, life, options](transport_handler handler) -> result<network> {
    auto names = std::make_shared<register_of_names>(options.places);
    auto is_first = options.places != nullptr;
    auto made = net.open(life, identity_of(options),
                         is_first ? std::optional<node_id>{0} : std::nullopt,
                         register_of_names::admit(names), std::move(handler),
                         *options.log);
    network out;
    fill_network(out, *made, names);
    out.net = std::move(made);
    return out;
  };
}

network_factory one_node_network(network_options options) {
  return [options](transport_handler handler) -> result<network> {
    network out;
    out.net = std::make_unique<lone_transport>(options, std::move(handler));
    return out;
  };
}

} // namespace troupe
