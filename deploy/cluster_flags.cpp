#include "deploy/cluster_flags.hpp"

#include "deploy/flag_sources.hpp"
#include "deploy/log_flags.hpp"
#include "runtime/cluster/node_options.hpp"
#include "runtime/topology_shorthand.hpp"

#include <filesystem>

namespace troupe {

namespace {

void add_limits(CLI::App& command, cluster_flags& flags) {
  topology usual;
  auto add = [&](const char* name, std::optional<uint32_t>& value,
                 const std::string& help) {
    command.add_option(name, value, help)->transform(with_suffix());
  };
  auto standard = [](uint64_t value) {
    return " (default " + std::to_string(value) + ")";
  };
  add("--max-model-len", flags.max_model_len,
      "Tokens of prompt and answer together (default "
        + std::to_string(usual.max_model_len)
        + ", or what the model was made for if that is less)");
  add("--max-num-seqs", flags.max_num_seqs,
      "Sequences in a step of a rank" + standard(usual.limits.max_num_seqs));
  add("--max-num-batched-tokens", flags.max_num_batched_tokens,
      "Rows in a step of a rank"
        + standard(usual.limits.max_num_batched_tokens));
  add("--num-kv-blocks", flags.num_kv_blocks,
      "Cache blocks of 64 tokens of a rank (default: 1024 tokens for each of "
      "max-num-seqs, and no less than max-model-len)");
  add("--step-timeout-ms", flags.step_timeout_ms,
      "How long a layer's rows may be away on other nodes"
        + standard(usual.limits.step_timeout_ms));
  command
    .add_option("--outage-timeout-ms", flags.outage_timeout_ms,
                "How long a request waits for nodes that are lost and that it "
                "cannot do without, before it ends with an error")
    ->capture_default_str()
    ->transform(with_suffix());
  command.add_option("--max-itl-ms", flags.max_itl_ms,
                     "About how long prompts may keep those who decode waiting "
                     "between two tokens, as far as steps of one row of a "
                     "prompt can help it (default: no limit)");
  command
    .add_option("--prefix-caching", flags.prefix_caching,
                "Whether requests that begin as others did find what these "
                "have left in the cache (default on)")
    ->check(CLI::IsMember({"on", "off"}));
}

void add_shape(CLI::App& command, cluster_flags& flags) {
  auto named = command.add_option(
    "--topology", flags.topology_name,
    "Which nodes hold what: a TOML file; depN: N ranks and N workers; or xPyD: "
    "x units that prefill and y that decode");
  command
    .add_option("--data-parallel-size", flags.data_parallel_size,
                "Attention ranks")
    ->check(CLI::Range(1, 1024))
    ->capture_default_str()
    ->excludes(named);
  command
    .add_option("--expert-parallel-size", flags.expert_parallel_size,
                "Expert workers")
    ->check(CLI::Range(1, 1024))
    ->capture_default_str()
    ->excludes(named);
  command.add_option("--prefill-unit", flags.prefill_unit,
                     "Size of a unit that prefills, as depN (default dep1)");
  command.add_option("--decode-unit", flags.decode_unit,
                     "Size of a unit that decodes, likewise");
  command.add_option("--num-redundant-experts", flags.num_redundant_experts,
                     "Slots of a layer beyond one for each expert, which hold "
                     "further replicas (default 0)");
  command.add_option("--spare-expert-slots", flags.spare_expert_slots,
                     "Free slots of each worker in a layer, for experts that "
                     "are moved while requests run, or whose last holder was "
                     "lost (default 0: none is)");
  command
    .add_option("--nodes", flags.num_nodes,
                "Node processes to start on this machine")
    ->check(CLI::Range(1, 64))
    ->capture_default_str();
}

/// Which nodes hold what, by flags and file.
result<topology> shape_of(const cluster_flags& flags) {
  auto& name = flags.topology_name;
  auto is_word = is_shorthand(name);
  auto has_units = is_word && !name.starts_with("dep");
  if (!has_units && (flags.prefill_unit || flags.decode_unit))
    return failure{errc::invalid_input,
                   "--prefill-unit and --decode-unit go with a --topology of "
                   "the form xPyD"};
  if (name.empty())
    return local(flags.num_nodes, flags.data_parallel_size,
                 flags.expert_parallel_size);
  if (is_word) {
    auto units = parse_shorthand(name, flags.prefill_unit.value_or("dep1"),
                                 flags.decode_unit.value_or("dep1"));
    if (!units)
      return units.why();
    return spread(std::move(*units), flags.num_nodes);
  }
  if (flags.num_nodes > 1)
    return failure{errc::invalid_input,
                   "--nodes excludes a --topology that is a file, which says "
                   "what each node is"};
  return read_topology(name);
}

template <class T>
void override(T& value, const std::optional<T>& flag) {
  if (flag)
    value = *flag;
}

} // namespace

std::string in_quotes(const std::string& text) {
  constexpr auto plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                         "0123456789/._-+:,=@";
  if (!text.empty() && text.find_first_not_of(plain) == text.npos)
    return text;
  std::string out = "'";
  for (auto c : text)
    out += c == '\'' ? std::string{"'\\''"} : std::string{c};
  return out + "'";
}

void add_cluster_tls(CLI::App& command, tls_files& to) {
  command.add_option("--cluster-tls-cert", to.certificate,
                     "Certificate (PEM) with which nodes meet over TLS");
  command.add_option("--cluster-tls-key", to.key, "Its key (PEM)");
  command.add_option("--cluster-tls-ca", to.authorities,
                     "Who signs the nodes of this cluster (PEM)");
}

uint32_t num_micro_batches(const std::string& text) {
  return text == "auto" ? 0 : uint32_t(std::stoul(text));
}

void add_micro_batches(CLI::App& command, std::optional<std::string>& to) {
  command
    .add_option("--micro-batches", to,
                "Steps of a rank that are out at once, each of up to "
                "max-num-seqs sequences, so that one computes while another's "
                "rows are away; auto (the default) cuts a step in two where "
                "that is faster")
    ->check(CLI::IsMember({"auto", "1", "2", "3", "4"}));
}

void kv_cache_flags::add_to(CLI::App& command) {
  command.add_option("--kv-cache-dir", dir,
                     "Directory where full blocks of the cache are kept, to be "
                     "found again by later requests and processes");
  command
    .add_option("--kv-cache-disk-gb", disk_gb,
                "GB of them at most, for each process")
    ->check(CLI::Range(0.001, 1e6))
    ->capture_default_str();
  command
    .add_option("--kv-cache-host-gb", host_gb,
                "GB of full blocks that each process keeps in host memory, "
                "before the disk if there is one")
    ->check(CLI::Range(0.0, 1e6))
    ->capture_default_str();
}

result<void> kv_cache_flags::check(const topology& cluster) const {
  if (cluster.limits.prefix_caching || (dir.empty() && host_gb == 0))
    return {};
  auto* name = dir.empty() ? "--kv-cache-host-gb" : "--kv-cache-dir";
  return failure{errc::invalid_input,
                 std::string{name} + " goes with --prefix-caching on"};
}

void kv_cache_flags::apply(node_options& to) const {
  if (!dir.empty())
    to.kv_cache_dir = std::filesystem::absolute(dir).string();
  to.kv_cache_bytes = static_cast<uint64_t>(disk_gb * 1e9);
  to.kv_host_bytes = static_cast<uint64_t>(host_gb * 1e9);
}

std::vector<std::string> kv_cache_flags::arguments() const {
  std::vector<std::string> out{"--kv-cache-host-gb", std::to_string(host_gb)};
  if (!dir.empty())
    out.insert(out.end(),
               {"--kv-cache-dir", std::filesystem::absolute(dir).string(),
                "--kv-cache-disk-gb", std::to_string(disk_gb)});
  return out;
}

void cluster_flags::add_to(CLI::App& command) {
  command.add_option("MODEL_DIR", model, "Directory of the checkpoint");
  add_shape(command, *this);
  command
    .add_option("--activations", activations,
                "What products see and what travels (default fp8)")
    ->check(CLI::IsMember({"fp8", "bf16", "fp32"}));
  add_limits(command, *this);
  command
    .add_option("--threads", num_threads,
                "Threads of the CPU device of a process (default: all)")
    ->check(CLI::Range(0u, max_threads));
  command.add_flag("--allow-overcommit", allow_overcommit,
                   "Start even if memory for weights and caches is not there");
  command.add_option("--cluster-secret-file", secret_file,
                     "Secret that every node must know");
  command.add_flag("--insecure", insecure,
                   "Listen beyond loopback without a secret");
  add_cluster_tls(command, tls);
  add_log_flags(command, log_level_name, log_format_name);
}

result<topology> cluster_flags::cluster() const {
  auto out = shape_of(*this);
  if (!out)
    return out;
  if (num_redundant_experts || spare_expert_slots)
    out->units = out->all_units();
  for (auto& unit : out->units) {
    override(unit.num_redundant_experts, num_redundant_experts);
    override(unit.spare_expert_slots, spare_expert_slots);
  }
  if (!model.empty())
    out->model = model;
  if (out->model.empty())
    return failure{errc::invalid_input, "MODEL_DIR is required, on the command "
                                        "line or as model in the topology"};
  if (!secret_file.empty())
    out->secret_file = secret_file;
  if (activations)
    out->activations = *parse_precision(*activations);
  override(out->max_model_len, max_model_len);
  override(out->limits.max_num_seqs, max_num_seqs);
  override(out->limits.max_num_batched_tokens, max_num_batched_tokens);
  override(out->limits.num_kv_blocks, num_kv_blocks);
  override(out->limits.step_timeout_ms, step_timeout_ms);
  override(out->limits.max_itl_ms, max_itl_ms);
  if (prefix_caching)
    out->limits.prefix_caching = *prefix_caching == "on";
  if (micro_batches)
    out->limits.micro_batches = num_micro_batches(*micro_batches);
  if (auto ok = moving.apply(*out); !ok)
    return ok.why();
  if (auto ok = kv_cache.check(*out); !ok)
    return ok.why();
  if (auto ok = validate(*out); !ok)
    return ok.why();
  return out;
}

std::shared_ptr<log_book> cluster_flags::make_log() const {
  return troupe::make_log(log_level_name, log_format_name);
}

log_level cluster_flags::level() const {
  return parse_log_level(log_level_name).value_or(log_level::warning);
}

std::string cluster_flags::replayed() const {
  auto out = model.empty() ? "" : in_quotes(model);
  auto add = [&](const char* name, const auto& value) {
    if (value)
      out += std::string{" --"} + name + " " + std::to_string(*value);
  };
  if (topology_name.empty())
    out += " --data-parallel-size " + std::to_string(data_parallel_size)
           + " --expert-parallel-size " + std::to_string(expert_parallel_size);
  else
    out += " --topology " + in_quotes(topology_name);
  if (topology_name.empty() || is_shorthand(topology_name))
    out += " --nodes " + std::to_string(num_nodes);
  add("num-redundant-experts", num_redundant_experts);
  add("spare-expert-slots", spare_expert_slots);
  if (activations)
    out += " --activations " + *activations;
  add("max-model-len", max_model_len);
  add("max-num-seqs", max_num_seqs);
  add("max-num-batched-tokens", max_num_batched_tokens);
  add("num-kv-blocks", num_kv_blocks);
  add("step-timeout-ms", step_timeout_ms);
  if (outage_timeout_ms != cluster_flags{}.outage_timeout_ms)
    out += " --outage-timeout-ms " + std::to_string(outage_timeout_ms);
  add("max-itl-ms", max_itl_ms);
  if (prefix_caching)
    out += " --prefix-caching " + *prefix_caching;
  if (micro_batches)
    out += " --micro-batches " + *micro_batches;
  return out + balance.replayed() + moving.replayed();
}

} // namespace troupe
