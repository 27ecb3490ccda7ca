#include "runtime/checkpoint/inspect.hpp"

#include "runtime/text/chat_template.hpp"

#include <cstdio>
#include <cstdlib>

namespace troupe {

namespace {

constexpr std::string_view layer_prefix = "model.layers.";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// "671.03 B", "19.50 M", "512"
std::string scaled(uint64_t x, const char* unit = "") {
  static constexpr const char* names[] = {"", " K", " M", " B", " T"};
  static constexpr const char* bytes[] = {" B", " KB", " MB", " GB", " TB"};
  auto is_bytes = *unit != '\0';
  auto value = static_cast<double>(x);
  size_t i = 0;
  for (; value >= 1000 && i < 4; ++i)
    value /= 1000;
  char out[32];
  std::snprintf(out, sizeof(out), i == 0 ? "%.0f%s" : "%.2f%s", value,
                is_bytes ? bytes[i] : names[i]);
  return out;
}

std::string row(std::string_view name, const std::string& value) {
  std::string out{name};
  out.resize(20, ' ');
  return out + value + "\n";
}

std::string shape_row(const model_config& c) {
  return std::to_string(c.num_hidden_layers) + " ("
         + std::to_string(c.first_k_dense_replace) + " dense), hidden size "
         + std::to_string(c.hidden_size) + ", "
         + std::to_string(c.num_attention_heads) + " heads, vocabulary "
         + std::to_string(c.vocab_size);
}

std::string expert_row(const model_config& c) {
  return std::to_string(c.n_routed_experts) + " routed, "
         + std::to_string(c.num_experts_per_tok) + " a token from "
         + std::to_string(c.topk_group) + " of " + std::to_string(c.n_group)
         + " groups, " + std::to_string(c.n_shared_experts) + " shared";
}

std::string parallel_row(const model_summary& s) {
  std::string out;
  for (auto size : s.expert_parallel_sizes)
    out += (out.empty() ? "" : ", ") + std::to_string(size);
  return out;
}

std::string chat_row(const std::filesystem::path& model_dir) {
  auto text = find_chat_template(model_dir);
  if (!text)
    return text.why().message;
  auto shape = recognise_chat_template(*text);
  return shape ? describe(*shape) + " (" + text->source + ")"
               : shape.why().message;
}

} // namespace

std::string_view to_string(tensor_kind kind) {
  static constexpr std::string_view names[num_tensor_kinds]
    = {"attention", "dense MLP", "shared experts", "routed experts",
       "embedding", "head",      "MTP (unused)"};
  return names[static_cast<size_t>(kind)];
}

tensor_kind kind_of(std::string_view name, const model_config& c) {
  if (name.starts_with(layer_prefix)) {
    auto rest = std::string{name.substr(layer_prefix.size())};
    auto layer = std::strtoull(rest.c_str(), nullptr, 10);
    if (layer >= c.num_hidden_layers)
      return tensor_kind::mtp;
    if (contains(name, ".mlp.experts."))
      return tensor_kind::routed_experts;
    if (contains(name, ".mlp.shared_experts."))
      return tensor_kind::shared_experts;
    if (contains(name, ".mlp.") && !contains(name, ".mlp.gate."))
      return tensor_kind::dense_mlp;
    return tensor_kind::attention;
  }
  if (name.starts_with("model.embed_tokens."))
    return tensor_kind::embedding;
  return name.starts_with("lm_head.") ? tensor_kind::head
                                      : tensor_kind::attention;
}

model_summary summarize(const checkpoint& source, const model_config& c) {
  model_summary out;
  for (auto& name : source.names()) {
    auto& x = *source.find(name);
    auto& kind = out.kinds[static_cast<size_t>(kind_of(name, c))];
    kind.bytes += x.num_bytes;
    if (!name.ends_with("_scale_inv"))
      kind.parameters += x.num_elements();
  }
  auto of = [&](tensor_kind kind) -> auto& {
    return out.kinds[static_cast<size_t>(kind)];
  };
  for (auto& kind : out.kinds) {
    out.parameters += kind.parameters;
    out.bytes += kind.bytes;
  }
  out.parameters -= of(tensor_kind::mtp).parameters;
  out.bytes -= of(tensor_kind::mtp).bytes;
  auto routed = of(tensor_kind::routed_experts).parameters;
  out.active_parameters = out.parameters - routed
                          + routed / c.n_routed_experts * c.num_experts_per_tok;
  if (!c.tie_word_embeddings)
    out.active_parameters -= of(tensor_kind::embedding).parameters;
  auto most = c.num_moe_layers() > 0 ? c.n_routed_experts : 1;
  for (uint32_t size = 1; size <= most; ++size)
    if (c.n_routed_experts % size == 0)
      out.expert_parallel_sizes.push_back(size);
  out.kv_bytes_per_token = uint64_t{c.num_hidden_layers}
                           * (c.kv_lora_rank + c.qk_rope_head_dim) * 2;
  return out;
}

result<std::string> inspect_model(const std::filesystem::path& model_dir) {
  auto source = checkpoint::open(model_dir);
  if (!source)
    return source.why();
  auto& config = source->config();
  if (!config)
    return config.why();
  auto s = summarize(*source, *config);
  std::string out;
  out += row("architecture",
             config->architecture + (config->fp8 ? ", FP8 weights" : ""));
  out += row("layers", shape_row(*config));
  out += row("experts", expert_row(*config));
  out += row("parameters", scaled(s.parameters) + ", "
                             + scaled(s.active_parameters)
                             + " active per token");
  out += row("bytes", scaled(s.bytes, "bytes"));
  for (size_t i = 0; i < num_tensor_kinds; ++i) {
    auto& kind = s.kinds[i];
    if (kind.bytes > 0)
      out += row("  " + std::string{to_string(static_cast<tensor_kind>(i))},
                 scaled(kind.bytes, "bytes") + ", " + scaled(kind.parameters)
                   + " parameters");
  }
  out += row("expert parallel", parallel_row(s));
  out += row("KV cache",
             std::to_string(s.kv_bytes_per_token) + " bytes per token");
  out += row("context",
             std::to_string(config->max_position_embeddings) + " tokens");
  out += row("chat template", chat_row(model_dir));
  return out;
}

} // namespace troupe
