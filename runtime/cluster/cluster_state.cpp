#include "runtime/cluster/cluster_state.hpp"

#include "runtime/cluster/read_message.hpp"
#include "runtime/transport/crc32c.hpp"
#include "schemas/cluster_state.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstring>
#include <set>

namespace troupe {

namespace {

constexpr char magic[] = {'T', 'R', 'O', 'U', 'P', 'E', 'S', '1'};
constexpr size_t head_bytes = 16;

void put(std::byte* to, uint32_t x) {
  for (int i = 0; i < 4; ++i)
    to[i] = std::byte(x >> 8 * i);
}

uint32_t get(const std::byte* from) {
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i)
    out |= uint32_t(from[i]) << 8 * i;
  return out;
}

failure damaged(const char* how) {
  return {errc::invalid_input, std::string{"is damaged ("} + how
                                 + "): without it the cluster begins anew, "
                                   "with what it was started with"};
}

void write(schema::ClusterState::Slot::Builder out,
           const cluster_state::slot& x) {
  auto& [name, incarnation, host, port, is, is_leaving, shape] = x;
  out.setName(name);
  out.setIncarnation(incarnation);
  out.setHost(host);
  out.setPort(port);
  out.setState(static_cast<uint8_t>(is));
  out.setIsLeaving(is_leaving);
  out.setRanks(shape.num_ranks);
  out.setWorkers(shape.num_workers);
  auto units = out.initUnits(static_cast<unsigned>(shape.units.size()));
  for (unsigned i = 0; i < shape.units.size(); ++i)
    units.set(i, shape.units[i]);
  out.setIsOpen(shape.is_open);
}

void write(schema::ClusterState::Unit::Builder out,
           const cluster_state::unit& x) {
  auto& [name, role, epoch, placement] = x;
  out.setName(name);
  out.setRole(to_string(role));
  out.setEpoch(epoch);
  out.setPlacement(
    {reinterpret_cast<const kj::byte*>(placement.data()), placement.size()});
}

result<cluster_state::slot> read(schema::ClusterState::Slot::Reader in) {
  cluster_state::slot out;
  out.name = in.getName();
  out.incarnation = in.getIncarnation();
  out.host = in.getHost();
  out.port = in.getPort();
  out.is = static_cast<member_state>(in.getState());
  out.is_leaving = in.getIsLeaving();
  out.shape.num_ranks = in.getRanks();
  out.shape.num_workers = in.getWorkers();
  for (std::string unit : in.getUnits())
    out.shape.units.push_back(std::move(unit));
  out.shape.is_open = in.getIsOpen();
  if (out.is >= member_state::num_states)
    return damaged("a state that this version does not know");
  return out;
}

result<cluster_state::unit> read(schema::ClusterState::Unit::Reader in) {
  cluster_state::unit out;
  out.name = in.getName();
  std::string role = in.getRole();
  auto known = false;
  for (auto x : {unit_role::both, unit_role::prefill, unit_role::decode})
    if (role == to_string(x)) {
      out.role = x;
      known = true;
    }
  if (!known)
    return damaged("a role that this version does not know");
  out.epoch = in.getEpoch();
  auto bytes = in.getPlacement();
  auto* first = reinterpret_cast<const std::byte*>(bytes.begin());
  out.placement.assign(first, first + bytes.size());
  return out;
}

template <class Readers, class T>
result<void> read_all(Readers in, std::vector<T>& out) {
  for (auto x : in) {
    auto one = read(x);
    if (!one)
      return one.why();
    out.push_back(std::move(*one));
  }
  return {};
}

result<cluster_state> read(schema::ClusterState::Reader in) {
  cluster_state out;
  out.revision = in.getRevision();
  out.cluster = in.getCluster();
  out.view = in.getView();
  if (auto ok = read_all(in.getUnits(), out.units); !ok)
    return ok.why();
  if (auto ok = read_all(in.getSlots(), out.slots); !ok)
    return ok.why();
  return out;
}

} // namespace

std::vector<node_shape> shapes_of(const topology& cluster) {
  auto units = cluster.all_units();
  auto of_ranks = cluster.units_of_ranks();
  auto of_workers = cluster.units_of_workers();
  std::vector<node_shape> out;
  for (auto& node : cluster.nodes) {
    std::set<std::string> names;
    for (auto r : node.ranks)
      names.insert(units[of_ranks[r]].name);
    for (auto w : node.workers)
      names.insert(units[of_workers[w]].name);
    out.push_back({static_cast<uint32_t>(node.ranks.size()),
                   static_cast<uint32_t>(node.workers.size()),
                   {names.begin(), names.end()},
                   node.open});
  }
  return out;
}

std::vector<std::byte> encode(const cluster_state& x) {
  auto& [revision, cluster, view, units, slots] = x;
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<schema::ClusterState>();
  root.setRevision(revision);
  root.setCluster(cluster);
  root.setView(view);
  auto to_units = root.initUnits(static_cast<unsigned>(units.size()));
  for (unsigned i = 0; i < units.size(); ++i)
    write(to_units[i], units[i]);
  auto to_slots = root.initSlots(static_cast<unsigned>(slots.size()));
  for (unsigned i = 0; i < slots.size(); ++i)
    write(to_slots[i], slots[i]);
  auto words = capnp::messageToFlatArray(builder);
  auto message = words.asBytes();
  std::vector<std::byte> out(head_bytes + message.size());
  std::memcpy(out.data(), magic, sizeof magic);
  std::memcpy(out.data() + head_bytes, message.begin(), message.size());
  put(out.data() + 8, static_cast<uint32_t>(message.size()));
  auto all = std::span<const std::byte>{out};
  put(out.data() + 12, crc32c(all.subspan(head_bytes), crc32c(all.first(12))));
  return out;
}

result<cluster_state> decode_cluster_state(std::span<const std::byte> bytes) {
  if (bytes.size() < head_bytes
      || std::memcmp(bytes.data(), magic, sizeof magic) != 0)
    return damaged("it is no state of a cluster, or of another version");
  auto message = bytes.subspan(head_bytes);
  if (get(bytes.data() + 8) != message.size() || message.empty()
      || message.size() % sizeof(capnp::word) != 0)
    return damaged("its length is wrong");
  if (get(bytes.data() + 12) != crc32c(message, crc32c(bytes.first(12))))
    return damaged("its checksum is wrong");
  auto out = read_message<schema::ClusterState>(
    message, [](auto in) { return read(in); });
  if (!out)
    return damaged("it cannot be read");
  return std::move(*out);
}

} // namespace troupe
