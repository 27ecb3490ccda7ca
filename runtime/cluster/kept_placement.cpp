#include "runtime/cluster/kept_placement.hpp"

#include "runtime/cluster/read_message.hpp"
#include "schemas/placements.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace troupe {

namespace {

failure no_placement() {
  return {errc::invalid_input, "it cannot be read"};
}

/// Workers load what they hold into their first slots.
void close_gaps(placement_lists& x) {
  std::map<std::pair<uint16_t, worker_id>, uint16_t> next;
  for (auto& [layer, expert, replica] : x.replicas)
    replica.at.slot = next[{layer, replica.at.worker}]++;
}

/// Of workers of `later` nodes, where `x` has nothing for them.
void add_later(placement_lists& x, const placement& first,
               const std::set<node_id>& later) {
  std::set<worker_id> holders;
  for (auto& one : x.replicas)
    holders.insert(one.replica.at.worker);
  for (auto& one : first.lists().replicas) {
    auto worker = one.replica.at.worker;
    if (later.contains(first.node_of(worker)) && !holders.contains(worker))
      x.replicas.push_back(one);
  }
}

} // namespace

std::vector<std::byte> encode_placement(const placement_lists& x) {
  auto& [unit, epoch, replicas] = x;
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<schema::Placement>();
  root.setUnit(unit);
  root.setEpoch(epoch);
  auto list = root.initReplicas(static_cast<unsigned>(replicas.size()));
  for (unsigned i = 0; i < replicas.size(); ++i) {
    auto& [layer, expert, replica] = replicas[i];
    auto& [at, weight] = replica;
    list[i].setLayer(layer);
    list[i].setExpert(expert);
    list[i].setWorker(at.worker);
    list[i].setSlot(at.slot);
    list[i].setWeight(weight);
  }
  auto words = capnp::messageToFlatArray(builder);
  auto bytes = words.asBytes();
  auto* first = reinterpret_cast<const std::byte*>(bytes.begin());
  return {first, first + bytes.size()};
}

result<placement_lists> decode_placement(std::span<const std::byte> bytes) {
  auto out = read_message<schema::Placement>(bytes, [](auto in) {
    placement_lists out{in.getUnit(), in.getEpoch(), {}};
    for (auto x : in.getReplicas())
      out.replicas.push_back({x.getLayer(),
                              x.getExpert(),
                              {{x.getWorker(), x.getSlot()}, x.getWeight()}});
    return out;
  });
  if (!out)
    return no_placement();
  return std::move(*out);
}

first_placement go_on_with(const placement& first, uint32_t last_epoch,
                           std::span<const std::byte> kept,
                           const std::set<node_id>& later) {
  if (kept.empty())
    return {first, ""};
  auto next = first.lists();
  next.epoch = last_epoch + 1;
  auto anew = first.with(next);
  CHECK(anew);
  auto lists = decode_placement(kept);
  if (!lists)
    return {std::move(*anew), lists.why().message};
  lists->epoch = next.epoch;
  close_gaps(*lists);
  add_later(*lists, first, later);
  auto same = first.with(*lists);
  if (!same)
    return {std::move(*anew), same.why().message};
  if (auto waiting = same->left_by(later).num_waiting(); waiting > 0)
    return {std::move(*anew),
            std::to_string(waiting) + " experts had no worker in it"
              + (same->num_waiting() < waiting ? " but on nodes that come later"
                                               : "")};
  return {std::move(*same), ""};
}

std::shared_ptr<const placements_of_units>
go_on_with(const std::vector<placement>& first,
           const std::optional<cluster_state>& kept, std::string& trouble,
           const std::set<node_id>& later) {
  placements_of_units out;
  for (size_t i = 0; kept && i < std::min(first.size(), kept->units.size());
       ++i) {
    auto& unit = kept->units[i];
    if (unit.placement.empty())
      continue;
    auto begins = go_on_with(first[i], unit.epoch, unit.placement, later);
    if (!begins.trouble.empty())
      trouble = "unit " + unit.name + ": " + begins.trouble;
    out.push_back(begins.map.lists());
  }
  if (out.empty())
    return nullptr;
  return std::make_shared<const placements_of_units>(std::move(out));
}

} // namespace troupe
