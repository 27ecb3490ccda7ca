#include "runtime/cluster/node_parts.hpp"

#include "kernels/host/thread_pool.hpp"
#include "runtime/checkpoint/digest_cache.hpp"
#include "runtime/checkpoint/model_digests.hpp"
#include "runtime/cluster/memory_room.hpp"
#include "runtime/cluster/unit_choice.hpp"
#include "runtime/cluster/unit_slots.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Tokens of the longest prompt that fits into a control message of 16 MiB,
/// each a segment of its own.
constexpr uint64_t max_control_ids = (uint64_t{15} << 20) / 16;

failure misfit(std::string message) {
  return {errc::invalid_input, std::move(message)};
}

/// Passes one source's progress on under a name.
load_progress named(const node_progress& progress, std::string what) {
  if (!progress)
    return {};
  return [=](uint64_t done, uint64_t total) { progress(what, done, total); };
}

result<std::unique_ptr<rank_parts>> make_rank(node_parts& parts, uint32_t id,
                                              const memory_room& room) {
  auto out = std::make_unique<rank_parts>();
  out->id = static_cast<rank_id>(id);
  out->unit = parts.units_of_ranks[id];
  auto& limits = parts.cluster.limits;
  // Again: who started at the same time may have been quicker.
  auto bytes = parts.cluster.num_kv_blocks()
               * kv_pool::block_bytes(parts.config, parts.cluster.activations);
  if (auto ok = room.check("the KV cache of rank " + std::to_string(id), bytes);
      !ok)
    return ok.why();
  auto pool = kv_pool::make(*parts.device, parts.config,
                            parts.cluster.activations,
                            parts.cluster.num_kv_blocks());
  if (!pool)
    return pool.why();
  out->pool = std::move(*pool);
  out->cache = std::make_unique<prefix_cache>(
    *out->pool, parts.cluster.limits.prefix_caching);
  out->stream = parts.device->make_stream();
  auto lanes = attention_stages::make_lanes(
    *parts.device, *out->stream, *parts.attention, *out->pool,
    limits.max_num_batched_tokens, limits.max_num_seqs, limits.num_lanes());
  if (!lanes)
    return lanes.why();
  out->lanes = std::move(*lanes);
  if (limits.num_lanes() > 1)
    out->copies = parts.device->make_stream();
  if (parts.keeper)
    out->transfers = parts.device->make_stream();
  if (moves_blocks(parts.cluster)) {
    out->handing = parts.device->make_stream();
    out->leaving = host_buffers::make(*parts.device, num_leaving_blocks,
                                      out->pool->block_bytes());
    if (!out->leaving)
      return failure{errc::out_of_memory,
                     "no host memory for blocks that leave rank "
                       + std::to_string(id)};
  }
  out->chosen = {parts.config.num_moe_layers(), parts.config.n_routed_experts};
  return out;
}

/// That says what the worker begins with.
const placement& map_of_worker(const node_parts& parts, worker_id worker) {
  return parts.maps[parts.units_of_workers[worker]];
}

result<std::unique_ptr<worker_parts>>
make_worker(node_parts& parts, shared_model& model, uint32_t id,
            const load_progress& progress, const std::stop_token& stop) {
  auto out = std::make_unique<worker_parts>();
  out->id = static_cast<worker_id>(id);
  auto& map = map_of_worker(parts, out->id);
  auto shard = model.experts(parts.cluster.activations, map.experts_of(out->id),
                             progress, stop);
  if (!shard)
    return shard.why();
  out->shard = std::move(*shard);
  out->slots = {map, out->id, parts.config.first_k_dense_replace};
  // A token has at most one row for each of the worker's experts.
  auto per_token = std::min(parts.config.num_experts_per_tok,
                            most_slots(map, out->id));
  auto rows = per_token > 0 ? parts.traffic.max_staging_rows : 0;
  out->max_staging_rows = rows;
  out->max_runs = per_token > 0 ? parts.traffic.max_run_pairs : 0;
  auto staging = parts.device->allocate(uint64_t{rows}
                                        * parts.dispatch_layout.row_bytes());
  if (!staging)
    return failure{errc::out_of_memory,
                   "no memory for the rows of worker " + std::to_string(id)};
  out->staging = *staging;
  out->stream = parts.device->make_stream();
  auto stages = expert_stages::make(*parts.device, *out->stream, *out->shard,
                                    out->max_runs);
  if (!stages)
    return stages.why();
  out->stages = std::move(*stages);
  return out;
}

/// What the workers of a node hold, each expert once: [moe layer].
expert_lists experts_of_node(const node_parts& parts) {
  expert_lists out(parts.config.num_moe_layers());
  for (auto id : parts.cluster.nodes[parts.node].workers) {
    auto held = map_of_worker(parts, worker_id(id)).experts_of(worker_id(id));
    for (size_t layer = 0; layer < held.size(); ++layer)
      out[layer].insert(out[layer].end(), held[layer].begin(),
                        held[layer].end());
  }
  for (auto& all : out) {
    std::ranges::sort(all);
    all.erase(std::unique(all.begin(), all.end()), all.end());
  }
  return out;
}

/// What the slots of a node's workers take that are empty at first, once they
/// are not.
uint64_t spare_bytes(const node_parts& parts, const checkpoint& source) {
  expert_lists one(parts.config.num_moe_layers(), {0}); // as large as any
  auto bytes = expert_weight_bytes(source, parts.config, one);
  uint64_t num_slots = 0, num_layers = parts.config.num_moe_layers();
  for (auto id : parts.cluster.nodes[parts.node].workers) {
    auto& map = parts.maps[parts.units_of_workers[id]];
    num_slots += num_layers * map.slots_of(worker_id(id));
    for (auto& held : map.experts_of(worker_id(id)))
      num_slots -= held.size();
  }
  return num_layers == 0 ? 0 : bytes / num_layers * num_slots;
}

/// Host memory for blocks on their way from this node's ranks.
uint64_t leaving_bytes(const node_parts& parts) {
  auto& c = parts.cluster;
  auto count = c.nodes[parts.node].ranks.size() * num_leaving_blocks;
  return moves_blocks(c)
           ? count * kv_pool::block_bytes(parts.config, c.activations)
           : 0;
}

/// What a node claims at start, before it does.
result<void> check_room(const node_parts& parts, const checkpoint& source,
                        const memory_room& room, const node_options& options) {
  auto& c = parts.cluster;
  auto& me = c.nodes[parts.node];
  auto weights
    = me.ranks.empty() ? 0 : attention_weight_bytes(source, parts.config);
  weights += expert_weight_bytes(source, parts.config, experts_of_node(parts))
             + spare_bytes(parts, source);
  auto caches = me.ranks.size() * c.num_kv_blocks()
                * kv_pool::block_bytes(parts.config, c.activations);
  auto stages = attention_stages::num_bytes(
    parts.config, c.activations, c.limits.max_num_batched_tokens,
    c.limits.max_num_seqs, c.limits.num_lanes());
  if (c.limits.prefix_caching && !me.ranks.empty())
    caches += keeper_parts::num_bytes(
      options, kv_pool::block_bytes(parts.config, c.activations));
  caches += leaving_bytes(parts);
  auto rows = parts.traffic.memory() + me.ranks.size() * stages
              + me.workers.size() * parts.traffic.worker_bytes;
  return room.check("node " + me.name + " (weights " + bytes_text(weights)
                      + ", KV caches " + bytes_text(caches) + ", rows of steps "
                      + bytes_text(rows) + ")",
                    weights + caches + rows);
}

void add(digest_table& all, const digest_table& more) {
  all.insert(more.begin(), more.end());
}

/// If blocks of the node's ranks are to be kept, and can be found.
result<void> make_keeper(node_parts& parts, const node_options& options) {
  if (parts.cluster.nodes[parts.node].ranks.empty())
    return {};
  if (!parts.cluster.limits.prefix_caching) {
    if (options.kv_cache_dir.empty() && options.kv_host_bytes == 0)
      return {};
    return failure{errc::invalid_input, "node "
                                          + parts.cluster.nodes[parts.node].name
                                          + " is to keep blocks of the cache, "
                                            "which goes with --prefix-caching "
                                            "on"};
  }
  auto bytes = kv_pool::block_bytes(parts.config, parts.cluster.activations);
  auto made = keeper_parts::make(*parts.device, options, bytes);
  if (!made)
    return made.why();
  parts.keeper = std::move(*made);
  return {};
}

result<void> make_all(node_parts& parts, shared_model& model,
                      const memory_room& room, const node_progress& progress,
                      const std::stop_token& stop) {
  auto& me = parts.cluster.nodes[parts.node];
  if (!me.ranks.empty()) {
    auto weights = model.attention(parts.cluster.activations,
                                   parts.cluster.max_model_len,
                                   named(progress, "attention"), stop);
    if (!weights)
      return weights.why();
    parts.attention = std::move(*weights);
    add(parts.digests, parts.attention->digests);
  }
  for (auto id : me.ranks) {
    auto rank = make_rank(parts, id, room);
    if (!rank)
      return rank.why();
    parts.ranks.push_back(std::move(*rank));
  }
  for (auto id : me.workers) {
    auto name = "worker " + std::to_string(id);
    auto worker = make_worker(parts, model, id, named(progress, name), stop);
    if (!worker)
      return worker.why();
    add(parts.digests, (*worker)->shard->digests);
    parts.workers.push_back(std::move(*worker));
  }
  return {};
}

} // namespace

void node_parts::identify_blocks(const numerics& about,
                                 const digest_table& model) {
  if (!keeper)
    return;
  auto text = about.settings + "target " + about.target + "\nblock "
              + std::to_string(keeper->files.block_bytes) + "\n";
  for (auto& [name, x] : model)
    text += name + " " + to_string(x) + "\n";
  keeper->files.identity = identity_of(text);
  for (auto& rank : ranks)
    rank->cache->keep_keys(keeper->files.identity);
}

void node_parts::end_streams() {
  for (auto& rank : ranks) {
    rank->transfers.reset();
    rank->handing.reset();
    rank->copies.reset();
    rank->stream.reset();
  }
  for (auto& worker : workers)
    worker->stream.reset();
}

node_parts::~node_parts() {
  end_streams(); // before the memory goes
  for (auto& worker : workers)
    device->free(worker->staging);
  ranks.clear();
  workers.clear();
}

result<void> check_fits(const topology& cluster, const model_config& config) {
  if (cluster.num_ranks() == 0 || cluster.num_workers() == 0)
    return misfit("a topology needs at least one rank and one worker");
  auto units = cluster.all_units();
  for (auto& unit : units)
    if (auto ok = check_slots(cluster, unit, config,
                              units.size() > 1 ? "in unit " + unit.name + " "
                                               : "");
        !ok)
      return ok;
  if (cluster.max_model_len > config.max_position_embeddings)
    return misfit("max_model_len " + std::to_string(cluster.max_model_len)
                  + " is beyond the model's "
                  + std::to_string(config.max_position_embeddings)
                  + " positions");
  auto room = uint64_t{cluster.num_kv_blocks()}
              * kernels::latent_cache::block_tokens;
  if (room < cluster.max_model_len)
    return misfit("num_kv_blocks holds " + std::to_string(room)
                  + " tokens, less than max_model_len "
                  + std::to_string(cluster.max_model_len));
  if (uint64_t{cluster.max_model_len} > max_control_ids)
    return misfit("max_model_len " + std::to_string(cluster.max_model_len)
                  + " is more than one message to a rank holds: "
                  + std::to_string(max_control_ids) + " tokens");
  if (auto ok = check_activations(config, cluster.activations); !ok)
    return ok;
  if (!cluster.nodes[0].gateway || !cluster.nodes[0].controller)
    return misfit("the first node has to be gateway and controller");
  return {};
}

std::vector<placement> place_experts(const topology& cluster,
                                     const model_config& config) {
  std::vector<node_id> node_of_worker;
  for (uint32_t w = 0; w < cluster.num_workers(); ++w)
    node_of_worker.push_back(cluster.node_of_worker(w));
  std::vector<placement> out;
  for (auto& unit : cluster.all_units())
    out.emplace_back(config.num_moe_layers(), config.n_routed_experts,
                     cluster.num_workers(), node_of_worker,
                     static_cast<unit_id>(out.size()), placement::first_epoch,
                     unit.num_redundant_experts, unit.spare_expert_slots,
                     unit.workers, cluster.later_nodes());
  return out;
}

namespace {

std::shared_ptr<kernels::device> make_device(const node_options& options) {
  if (options.device)
    return options.device;
  if (options.target == "reference")
    return kernels::make_reference_device(0);
  kernels::cpu_options cpu;
  cpu.num_threads = options.num_threads;
  cpu.target = options.target;
  cpu.pool = options.pool;
  return kernels::make_cpu_device(cpu);
}

/// What follows from topology, model and placement alone.
result<std::shared_ptr<node_parts>>
plan_parts(const topology& cluster, node_id node, const model_config& config,
           const placements_of_units* begins_with) {
  auto out = std::make_shared<node_parts>();
  out->cluster = cluster;
  out->node = node;
  out->config = config;
  out->maps = place_experts(cluster, config);
  for (size_t i = 0; begins_with && i < begins_with->size(); ++i) {
    auto& x = (*begins_with)[i];
    auto map = x.unit < out->maps.size()
                 ? out->maps[x.unit].with(x)
                 : failure{errc::invalid_input, "of a unit that there is not"};
    if (!map)
      return misfit("the placement that the cluster begins with is none here: "
                    + map.why().message);
    out->maps[x.unit] = std::move(*map);
  }
  out->units_of_ranks = cluster.units_of_ranks();
  out->units_of_workers = cluster.units_of_workers();
  out->dispatch_layout = config.dispatch_layout(cluster.activations);
  out->combine_row_bytes
    = config.hidden_size
      * kernels::size_of(config.combine_type(cluster.activations));
  out->traffic = plan_traffic(cluster, config, out->maps, node);
  out->traffic.max_unsent += leaving_bytes(*out);
  out->slabs = std::make_unique<slab_pool>(out->traffic.slab_bytes);
  out->answers = std::make_unique<slab_pool>(out->traffic.answer_bytes);
  return out;
}

/// The one that is shared, or one of the node's own.
result<std::shared_ptr<shared_model>>
open_model(const std::string& model_dir,
           const std::shared_ptr<kernels::device>& device,
           const node_options& options) {
  if (options.model)
    return options.model;
  return shared_model::open(model_dir, device, options.config);
}

std::vector<input_file::stamp> stamps_of(const checkpoint& source) {
  std::vector<input_file::stamp> out;
  for (auto& file : source.files())
    out.push_back(file.known_by());
  return out;
}

} // namespace

result<std::shared_ptr<node_parts>>
load_node_parts(const topology& cluster, node_id node,
                const std::string& model_dir, const node_options& options,
                const node_progress& progress,
                const std::function<void(const numerics&)>& on_settings,
                const placements_of_units* begins_with) {
  auto device = make_device(options);
  auto model = open_model(model_dir, device, options);
  if (!model)
    return model.why();
  auto& config = (*model)->config();
  if (on_settings) {
    auto settings = (*model)->settings(cluster.activations);
    if (!settings)
      return settings.why();
    auto& me = cluster.nodes[node];
    auto computes = !me.ranks.empty() || !me.workers.empty();
    on_settings(
      {*settings, std::string{computes ? device->target() : ""}, {}, false});
  }
  if (auto fits = check_fits(cluster, config); !fits)
    return fits.why();
  auto planned = plan_parts(cluster, node, config, begins_with);
  if (!planned)
    return planned.why();
  auto out = std::move(*planned);
  auto tokens = (*model)->tokens();
  if (!tokens)
    return tokens.why();
  out->tokens = std::move(*tokens);
  // What a node compiles and counts follows from what it alone was asked, also
  // where a process has many nodes, or worlds of them.
  if (auto& grammars = out->tokens.grammars)
    grammars = grammars->fresh();
  out->device = std::move(device);
  out->loaded_from = stamps_of((*model)->source());
  out->room = memory_room{options.allow_overcommit};
  out->stop = options.stop;
  if (auto ok = check_room(*out, (*model)->source(), out->room, options); !ok)
    return ok.why();
  if (auto made = make_keeper(*out, options); !made)
    return made.why();
  if (auto made = make_all(*out, **model, out->room, progress, options.stop);
      !made)
    return made.why();
  // Not only where a worker here has room: proofs are the first node's.
  if (std::ranges::any_of(cluster.all_units(),
                          [](auto& x) { return x.spare_expert_slots > 0; }))
    out->model = std::move(*model);
  return out;
}

result<digest_table>
digest_model_dir(const std::string& model_dir, const digest_table& held,
                 const std::vector<input_file::stamp>& held_from,
                 const node_options& options, const node_progress& progress) {
  if (options.model)
    return options.model->digests(options.stop);
  auto source = checkpoint::open(model_dir, options.config);
  if (!source)
    return source.why();
  if (!held.empty() && stamps_of(*source) != held_from)
    return failure{errc::io, "the model in " + model_dir
                               + " was changed while it was read"};
  digest_cache cache{options.cache_dir, *source};
  auto kept = cache.read();
  auto known = held;
  known.insert(kept.begin(), kept.end());
  auto pool = options.pool ? options.pool
                           : kernels::thread_pool::start(options.num_threads);
  CHECK(pool);
  auto all = digest_model(*source, std::move(known), *pool,
                          named(progress, "digests of the model"),
                          options.stop);
  if (all && *all != kept)
    cache.write(*all);
  return all;
}

} // namespace troupe
