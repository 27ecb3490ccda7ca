#include "runtime/topology.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/toml/table_reader.hpp"

#include <algorithm>
#include <sstream>

// A topology as TOML: reading, where every key is checked, and writing.

namespace troupe {

namespace {

constexpr uint32_t max_nodes = 1024;
constexpr uint32_t max_parts = 4096; // ranks, or workers
constexpr uint64_t max_file_bytes = 1 << 20;

failure invalid(const std::string& message) {
  return {errc::invalid_input, message};
}

/// A count takes the next free numbers, a list names its own.
void read_parts(table_reader& in, std::string_view key, uint32_t& next,
                std::vector<uint32_t>& out) {
  auto node = in.find(key);
  if (!node)
    return;
  const char* form = "must be a count or a list of numbers below 4096";
  if (auto list = node->as_array()) {
    for (auto& x : *list)
      if (auto id = table_reader::number(x); id && *id < max_parts)
        out.push_back(*id);
      else
        in.complain(key, form);
  } else if (auto count = table_reader::number(*node);
             count && *count <= max_parts - std::min(next, max_parts)) {
    for (uint32_t i = 0; i < *count; ++i)
      out.push_back(next + i);
  } else {
    in.complain(key, form);
  }
  next += static_cast<uint32_t>(out.size());
}

result<void> read_cluster(const toml::table& root, const std::string& source,
                          topology& out) {
  table_reader in{root, source};
  in.allow_only({"cluster", "model", "secret_file", "controller", "activations",
                 "max_model_len", "limits", "nodes", "units"},
                "a topology");
  std::string controller = "127.0.0.1:0";
  std::string activations = "fp8";
  in.read("cluster", out.cluster);
  in.read("model", out.model);
  in.read("secret_file", out.secret_file);
  in.read("controller", controller);
  in.read("activations", activations);
  in.read("max_model_len", out.max_model_len);
  if (auto x = parse_endpoint(controller))
    out.controller = *x;
  else
    in.complain("controller", "must be a numeric HOST:PORT");
  if (auto x = parse_precision(activations))
    out.activations = *x;
  else
    in.complain("activations", "must be fp8, bf16 or fp32");
  in.child("limits");
  if (!in.complaint().empty())
    return invalid(in.complaint());
  return {};
}

result<void> read_limits(const toml::table& table, const std::string& source,
                         topology_limits& out) {
  table_reader in{table, source, "limits"};
  in.allow_only({"max_num_seqs", "max_num_batched_tokens", "max_num_waiting",
                 "num_kv_blocks", "max_frame_bytes", "step_timeout_ms",
                 "micro_batches", "max_itl_ms", "prefix_caching",
                 "moving_requests"},
                "a topology");
  in.read("max_num_seqs", out.max_num_seqs);
  in.read("max_num_batched_tokens", out.max_num_batched_tokens);
  in.read("max_num_waiting", out.max_num_waiting);
  in.read("num_kv_blocks", out.num_kv_blocks);
  in.read("max_frame_bytes", out.max_frame_bytes);
  in.read("step_timeout_ms", out.step_timeout_ms);
  in.read("micro_batches", out.micro_batches);
  in.read("max_itl_ms", out.max_itl_ms);
  in.read("prefix_caching", out.prefix_caching);
  in.read("moving_requests", out.moving_requests);
  if (!in.complaint().empty())
    return invalid(in.complaint());
  return {};
}

std::optional<unit_role> parse_role(std::string_view text) {
  for (auto role : {unit_role::both, unit_role::prefill, unit_role::decode})
    if (text == to_string(role))
      return role;
  return std::nullopt;
}

/// Has `read` read each table of the list `key`.
template <class Fn>
result<void> read_tables(const toml::table& root, const std::string& source,
                         const std::string& key, size_t least, Fn read) {
  auto list = root.get_as<toml::array>(key);
  if (!list || list->size() < least || list->size() > max_nodes)
    return invalid(source + ": " + key + " must be a list of 1 to 1024 tables");
  for (size_t i = 0; i < list->size(); ++i) {
    auto name = key + "[" + std::to_string(i) + "]";
    auto* table = (*list)[i].as_table();
    if (!table)
      return invalid(source + ": " + name + " must be a table");
    table_reader in{*table, source, name};
    read(in);
    if (!in.complaint().empty())
      return invalid(in.complaint());
  }
  return {};
}

/// Whether a node is an open place; true is one, a number so many alike.
uint32_t read_places(table_reader& in, topology_node& node) {
  auto* value = in.find("open");
  if (!value)
    return 1;
  if (value->is_boolean()) {
    in.read("open", node.open);
    node.later |= node.open;
    return 1;
  }
  auto count = table_reader::number(*value).value_or(0);
  if (count == 0 || count > max_nodes)
    in.complain("open", "must be true or a number from 1 to 1024");
  node.open = node.later = true;
  return std::clamp(count, 1u, max_nodes);
}

/// A name for those who come to an open place, until somebody has.
void name_place(topology_node& node, size_t index) {
  if (node.open && node.name.empty())
    node.name = "place-" + std::to_string(index);
}

/// Others like the last one, with numbers of their own.
void add_places(topology& out, uint32_t count, uint32_t& next_rank,
                uint32_t& next_worker) {
  auto more = [](std::vector<uint32_t>& parts, uint32_t& next) {
    for (auto& x : parts)
      x = next++;
  };
  auto like = out.nodes.back();
  name_place(out.nodes.back(), out.nodes.size() - 1);
  for (uint32_t i = 1; i < count; ++i) {
    auto& node = out.nodes.emplace_back(like);
    more(node.ranks, next_rank);
    more(node.workers, next_worker);
    name_place(node, out.nodes.size() - 1);
  }
}

result<void> read_nodes(const toml::table& root, const std::string& source,
                        topology& out) {
  uint32_t next_rank = 0;
  uint32_t next_worker = 0;
  return read_tables(root, source, "nodes", 0, [&](table_reader& in) {
    auto& node = out.nodes.emplace_back();
    in.allow_only({"name", "host", "gateway", "controller", "later", "open",
                   "ranks", "workers"},
                  "a topology");
    in.read("name", node.name);
    in.read("host", node.host);
    in.read("gateway", node.gateway);
    in.read("controller", node.controller);
    in.read("later", node.later);
    read_parts(in, "ranks", next_rank, node.ranks);
    read_parts(in, "workers", next_worker, node.workers);
    auto count = read_places(in, node);
    auto parts = std::max(node.ranks.size(), node.workers.size());
    auto last = std::max(next_rank, next_worker) + (count - 1) * parts;
    if (out.nodes.size() + count - 1 > max_nodes
        || (count > 1 && last > max_parts))
      return in.complain("open", "makes more nodes, ranks or workers than "
                                 "there may be");
    add_places(out, count, next_rank, next_worker);
  });
}

result<void> read_units(const toml::table& root, const std::string& source,
                        topology& out) {
  if (!root.contains("units"))
    return {};
  uint32_t next_rank = 0;
  uint32_t next_worker = 0;
  return read_tables(root, source, "units", 1, [&](table_reader& in) {
    auto& unit = out.units.emplace_back();
    std::string role = "both";
    in.allow_only({"name", "role", "ranks", "workers", "num_redundant_experts",
                   "spare_expert_slots"},
                  "a topology");
    in.read("name", unit.name);
    in.read("role", role);
    in.read("num_redundant_experts", unit.num_redundant_experts);
    in.read("spare_expert_slots", unit.spare_expert_slots);
    read_parts(in, "ranks", next_rank, unit.ranks);
    read_parts(in, "workers", next_worker, unit.workers);
    if (auto x = parse_role(role))
      unit.role = *x;
    else
      in.complain("role", "must be prefill, decode or both");
  });
}

std::string list_of(const std::vector<uint32_t>& ids) {
  std::string out = "[";
  for (auto id : ids)
    out += (out.size() > 1 ? ", " : "") + std::to_string(id);
  return out + "]";
}

} // namespace

result<topology> parse_topology(std::string_view text,
                                std::string_view source_name) {
  std::string source{source_name};
  auto root = parse_toml(text, source_name);
  if (!root)
    return root.why();
  topology out;
  if (auto ok = read_cluster(*root, source, out); !ok)
    return ok.why();
  if (auto limits = root->get_as<toml::table>("limits"))
    if (auto ok = read_limits(*limits, source, out.limits); !ok)
      return ok.why();
  if (auto ok = read_nodes(*root, source, out); !ok)
    return ok.why();
  if (auto ok = read_units(*root, source, out); !ok)
    return ok.why();
  if (auto ok = validate(out); !ok)
    return invalid(source + ": " + ok.why().message);
  return out;
}

result<topology> read_topology(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_file_bytes);
  if (!text)
    return text.why();
  auto out = parse_topology(*text, path.string());
  if (!out)
    return out;
  for (auto file : {&out->model, &out->secret_file})
    if (!file->empty())
      *file = (path.parent_path() / *file).lexically_normal().string();
  return out;
}

std::string render(const topology& x) {
  auto v6 = x.controller.host.find(':') != std::string::npos;
  auto host = v6 ? "[" + x.controller.host + "]" : x.controller.host;
  std::ostringstream out;
  out << "cluster = " << quoted(x.cluster) << "\n";
  if (!x.model.empty())
    out << "model = " << quoted(x.model) << "\n";
  if (!x.secret_file.empty())
    out << "secret_file = " << quoted(x.secret_file) << "\n";
  out << "controller = \"" << host << ":" << x.controller.port << "\"\n"
      << "activations = \"" << to_string(x.activations) << "\"\n"
      << "max_model_len = " << x.max_model_len << "\n\n[limits]\n"
      << "max_num_seqs = " << x.limits.max_num_seqs << "\n"
      << "max_num_batched_tokens = " << x.limits.max_num_batched_tokens << "\n"
      << "max_num_waiting = " << x.limits.max_num_waiting << "\n"
      << "num_kv_blocks = " << x.limits.num_kv_blocks << "\n"
      << "max_frame_bytes = " << x.limits.max_frame_bytes << "\n"
      << "step_timeout_ms = " << x.limits.step_timeout_ms << "\n"
      << "micro_batches = " << x.limits.micro_batches << "\n"
      << "max_itl_ms = " << x.limits.max_itl_ms << "\n"
      << "prefix_caching = " << (x.limits.prefix_caching ? "true" : "false")
      << "\nmoving_requests = " << (x.limits.moving_requests ? "true" : "false")
      << "\n";
  for (auto& node : x.nodes) {
    out << "\n[[nodes]]\nname = " << quoted(node.name) << "\n"
        << "host = " << quoted(node.host) << "\n"
        << (node.gateway ? "gateway = true\n" : "")
        << (node.controller ? "controller = true\n" : "")
        << (node.later ? "later = true\n" : "")
        << (node.open ? "open = true\n" : "");
    if (!node.ranks.empty())
      out << "ranks = " << list_of(node.ranks) << "\n";
    if (!node.workers.empty())
      out << "workers = " << list_of(node.workers) << "\n";
  }
  for (auto& unit : x.units)
    out << "\n[[units]]\nname = " << quoted(unit.name) << "\nrole = \""
        << to_string(unit.role) << "\"\nranks = " << list_of(unit.ranks)
        << "\nworkers = " << list_of(unit.workers)
        << "\nnum_redundant_experts = " << unit.num_redundant_experts
        << "\nspare_expert_slots = " << unit.spare_expert_slots << "\n";
  return out.str();
}

} // namespace troupe
