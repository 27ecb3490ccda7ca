#include "runtime/topology.hpp"

#include "runtime/node_name.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string>

namespace troupe {

namespace {

constexpr auto kv_block_tokens = kernels::latent_cache::block_tokens;

/// Of a sequence that is neither short nor long.
constexpr uint32_t usual_tokens = 1024;

/// A slot's number has 16 bits on the wire.
constexpr uint32_t max_redundant = 32768;
constexpr uint32_t max_spare = 1024;

failure invalid(const std::string& message) {
  return {errc::invalid_input, message};
}

/// C's functions would stop reading at a NUL and take what is before it.
bool holds_nul(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

bool is_numeric_host(const std::string& host) {
  if (holds_nul(host))
    return false;
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1
         || inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

/// Every number from 0 to the count of them, each once.
result<void> validate_parts(const topology& x, const char* key,
                            std::vector<uint32_t> topology_node::*parts) {
  std::set<uint32_t> seen;
  for (auto& node : x.nodes)
    for (auto id : node.*parts)
      if (!seen.insert(id).second)
        return invalid(std::string{key} + ": number " + std::to_string(id)
                       + " stands on two nodes");
  if (seen.empty())
    return invalid(std::string{key} + ": no node has any");
  if (*seen.rbegin() + 1 != seen.size())
    return invalid(std::string{key} + ": the numbers must run from 0 to "
                   + std::to_string(seen.size() - 1) + " without a gap");
  return {};
}

result<void> validate_name(const std::string& name, const std::string& where,
                           std::set<std::string>& names) {
  if (!is_node_name(name))
    return invalid(where + "name must be 1 to 63 of a-z, 0-9, '-' and '_'");
  if (!names.insert(name).second)
    return invalid(where + "name " + name + " is taken");
  return {};
}

result<void> validate_node(const topology& x, size_t index,
                           std::set<std::string>& names) {
  auto& node = x.nodes[index];
  auto where = "nodes[" + std::to_string(index) + "]: ";
  if (auto ok = validate_name(node.name, where, names); !ok)
    return ok;
  if (!is_numeric_host(node.host))
    return invalid(where + "host must be a numeric address");
  if (node.controller != (index == 0))
    return invalid(where + "controller must be true on the first node only");
  if (node.later && (index == 0 || node.gateway))
    return invalid(where
                   + "later must not be true on the first node, nor on "
                     "the gateway");
  if (node.open && !node.later)
    return invalid(where + "who comes to an open place comes later");
  if (node.open && node.ranks.empty() && node.workers.empty())
    return invalid(where + "an open place is of ranks or workers");
  return {};
}

result<void> validate_unit(const topology& x, size_t index,
                           std::set<std::string>& names) {
  auto& unit = x.units[index];
  auto where = "units[" + std::to_string(index) + "]: ";
  if (auto ok = validate_name(unit.name, where, names); !ok)
    return ok;
  if (unit.ranks.empty() || unit.workers.empty())
    return invalid(where + "a unit needs at least one rank and one worker");
  if (unit.num_redundant_experts > max_redundant)
    return invalid(where + "num_redundant_experts must be at most "
                   + std::to_string(max_redundant));
  if (unit.spare_expert_slots > max_spare)
    return invalid(where + "spare_expert_slots must be at most "
                   + std::to_string(max_spare));
  return {};
}

/// Every rank, or worker, belongs to one unit. `num_parts` of them live
/// somewhere.
result<void> validate_members(const topology& x, const char* key,
                              std::vector<uint32_t> topology_unit::*parts,
                              uint32_t num_parts) {
  std::set<uint32_t> seen;
  for (auto& unit : x.units)
    for (auto id : unit.*parts) {
      if (id >= num_parts)
        return invalid("units: no node has number " + std::to_string(id)
                       + " of the " + key);
      if (!seen.insert(id).second)
        return invalid("units: number " + std::to_string(id) + " of the " + key
                       + " stands in two");
    }
  if (seen.size() < num_parts)
    return invalid("units: there are " + std::to_string(num_parts) + " " + key
                   + ", but only " + std::to_string(seen.size())
                   + " of them are in a unit");
  return {};
}

result<void> validate_units(const topology& x) {
  if (x.units.empty())
    return {};
  std::set<std::string> names;
  for (size_t i = 0; i < x.units.size(); ++i)
    if (auto ok = validate_unit(x, i, names); !ok)
      return ok;
  if (auto ok = validate_members(x, "ranks", &topology_unit::ranks,
                                 x.num_ranks());
      !ok)
    return ok;
  return validate_members(x, "workers", &topology_unit::workers,
                          x.num_workers());
}

/// Without those that come later each unit has to serve.
result<void> validate_start(const topology& x) {
  auto later = x.later_nodes();
  if (later.empty())
    return {};
  for (auto& unit : x.all_units()) {
    auto has_rank = std::ranges::any_of(
      unit.ranks, [&](auto r) { return !later.contains(x.node_of_rank(r)); });
    auto has_worker = std::ranges::any_of(unit.workers, [&](auto w) {
      return !later.contains(x.node_of_worker(w));
    });
    if (!has_rank || !has_worker)
      return invalid("nodes: unit " + unit.name + " has no "
                     + (has_rank ? "worker" : "rank")
                     + " but on nodes that come later");
  }
  return {};
}

result<void> validate_limits(const topology& x) {
  auto& l = x.limits;
  if (l.max_num_seqs == 0 || l.max_num_seqs > 4096)
    return invalid("limits: max_num_seqs must be from 1 to 4096");
  if (l.micro_batches > 4)
    return invalid("limits: micro_batches must be from 1 to 4, or 0: as many "
                   "as pay");
  if (l.max_num_batched_tokens < l.max_num_running()
      || l.max_num_batched_tokens > 65536)
    return invalid("limits: max_num_batched_tokens must be from max_num_seqs "
                   "(for each of micro_batches) to 65536");
  if (l.max_num_waiting > 1u << 20)
    return invalid("limits: max_num_waiting must be at most 1048576");
  if (l.num_kv_blocks > 1u << 26)
    return invalid("limits: num_kv_blocks must be at most 67108864");
  if (l.max_frame_bytes < 4096 || l.max_frame_bytes > 16u << 20)
    return invalid("limits: max_frame_bytes must be from 4096 to 16777216");
  if (x.max_model_len == 0)
    return invalid("max_model_len must be at least 1");
  if (uint64_t{x.num_kv_blocks()} * kv_block_tokens < x.max_model_len)
    return invalid("limits: num_kv_blocks of 64 tokens must hold "
                   "max_model_len tokens");
  if (l.step_timeout_ms == 0)
    return invalid("limits: step_timeout_ms must be at least 1");
  return {};
}

std::vector<uint32_t> numbers(uint32_t first, uint32_t count) {
  std::vector<uint32_t> out(count);
  for (uint32_t i = 0; i < count; ++i)
    out[i] = first + i;
  return out;
}

/// Spreads `count` parts over `num_nodes` new nodes, the earlier ones taking
/// what is left over.
void add_nodes(topology& x, const std::string& name, uint32_t num_nodes,
               uint32_t count, std::vector<uint32_t> topology_node::*parts) {
  uint32_t next = 0;
  for (uint32_t i = 0; i < num_nodes; ++i) {
    auto share = count / num_nodes + (i < count % num_nodes ? 1 : 0);
    topology_node node;
    node.name = name + "-" + std::to_string(i);
    node.*parts = numbers(next, share);
    next += share;
    x.nodes.push_back(std::move(node));
  }
}

} // namespace

const char* to_string(unit_role role) {
  switch (role) {
    case unit_role::prefill:
      return "prefill";
    case unit_role::decode:
      return "decode";
    case unit_role::both:
      break;
  }
  return "both";
}

std::vector<topology_unit> topology::all_units() const {
  if (!units.empty())
    return units;
  topology_unit all;
  all.ranks = numbers(0, num_ranks());
  all.workers = numbers(0, num_workers());
  return {all};
}

namespace {

/// [member]: the unit that has it. Every one is in one.
std::vector<uint16_t> owners(const std::vector<topology_unit>& units,
                             std::vector<uint32_t> topology_unit::*members,
                             uint32_t count) {
  std::vector<uint16_t> out(count);
  for (size_t u = 0; u < units.size(); ++u)
    for (auto x : units[u].*members)
      out[x] = static_cast<uint16_t>(u);
  return out;
}

} // namespace

std::vector<uint16_t> topology::units_of_ranks() const {
  return owners(all_units(), &topology_unit::ranks, num_ranks());
}

std::vector<uint16_t> topology::units_of_workers() const {
  return owners(all_units(), &topology_unit::workers, num_workers());
}

uint32_t topology::num_ranks() const {
  size_t n = 0;
  for (auto& node : nodes)
    n += node.ranks.size();
  return static_cast<uint32_t>(n);
}

uint32_t topology::num_workers() const {
  size_t n = 0;
  for (auto& node : nodes)
    n += node.workers.size();
  return static_cast<uint32_t>(n);
}

std::set<node_id> topology::later_nodes() const {
  std::set<node_id> out;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].later)
      out.insert(static_cast<node_id>(i));
  return out;
}

uint32_t topology::num_kv_blocks() const {
  if (limits.num_kv_blocks > 0)
    return limits.num_kv_blocks;
  auto blocks_for = [](uint64_t num_tokens) {
    return (num_tokens + kv_block_tokens - 1) / kv_block_tokens;
  };
  auto usual = blocks_for(std::min(max_model_len, usual_tokens));
  return static_cast<uint32_t>(
    std::max(limits.max_num_running() * usual, blocks_for(max_model_len)));
}

std::optional<node_id> topology::find(std::string_view name) const {
  for (size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].name == name)
      return static_cast<node_id>(i);
  return std::nullopt;
}

static node_id home_of(const topology& x, uint32_t id,
                       std::vector<uint32_t> topology_node::*parts) {
  size_t i = 0;
  while (
    i < x.nodes.size()
    && std::count((x.nodes[i].*parts).begin(), (x.nodes[i].*parts).end(), id)
         == 0)
    ++i;
  CHECK(i < x.nodes.size());
  return static_cast<node_id>(i);
}

node_id topology::node_of_rank(uint32_t rank) const {
  return home_of(*this, rank, &topology_node::ranks);
}

node_id topology::node_of_worker(uint32_t worker) const {
  return home_of(*this, worker, &topology_node::workers);
}

topology single_process(uint32_t dp, uint32_t ep) {
  topology out;
  topology_node node;
  node.name = "solo";
  node.gateway = true;
  node.controller = true;
  node.ranks = numbers(0, dp);
  node.workers = numbers(0, ep);
  out.nodes.push_back(std::move(node));
  return out;
}

topology local(uint32_t num_nodes, uint32_t dp, uint32_t ep) {
  CHECK(num_nodes >= 1 && dp >= 1 && ep >= 1);
  auto out = single_process(dp, ep);
  if (num_nodes == 1)
    return out;
  auto& front = out.nodes[0];
  front.name = "front";
  front.ranks.clear();
  front.workers.clear();
  if (num_nodes == 2) {
    add_nodes(out, "company", 1, dp, &topology_node::ranks);
    out.nodes[1].workers = numbers(0, ep);
    return out;
  }
  auto rank_nodes = std::min(dp, std::max(1u, (num_nodes - 1) / 3));
  auto worker_nodes = std::min(ep, num_nodes - 1 - rank_nodes);
  add_nodes(out, "attention", rank_nodes, dp, &topology_node::ranks);
  add_nodes(out, "experts", worker_nodes, ep, &topology_node::workers);
  return out;
}

result<void> validate(const topology& x) {
  if (!is_node_name(x.cluster))
    return invalid("cluster must be 1 to 63 of a-z, 0-9, '-' and '_'");
  if (holds_nul(x.model) || holds_nul(x.secret_file))
    return invalid("model and secret_file must not hold a NUL");
  if (!is_numeric_host(x.controller.host))
    return invalid("controller must be a numeric HOST:PORT");
  if (x.nodes.empty())
    return invalid("nodes: there are none");
  std::set<std::string> names;
  for (size_t i = 0; i < x.nodes.size(); ++i)
    if (auto ok = validate_node(x, i, names); !ok)
      return ok;
  if (std::count_if(x.nodes.begin(), x.nodes.end(),
                    [](auto& node) { return node.gateway; })
      != 1)
    return invalid("nodes: exactly one node must have gateway = true");
  if (auto ok = validate_parts(x, "ranks", &topology_node::ranks); !ok)
    return ok;
  if (auto ok = validate_parts(x, "workers", &topology_node::workers); !ok)
    return ok;
  if (auto ok = validate_units(x); !ok)
    return ok;
  if (auto ok = validate_start(x); !ok)
    return ok;
  return validate_limits(x);
}

result<endpoint_address> parse_endpoint(std::string_view text) {
  auto wrong = invalid(std::string{text} + " is not a numeric HOST:PORT");
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return wrong;
  auto host = std::string{text.substr(0, colon)};
  auto port = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string::npos)
    return wrong;
  if (host == "localhost")
    host = "127.0.0.1";
  endpoint_address out{host, 0};
  auto end = port.data() + port.size();
  auto [last, error] = std::from_chars(port.data(), end, out.port);
  if (!is_numeric_host(host) || error != std::errc{} || last != end)
    return wrong;
  return out;
}

} // namespace troupe
