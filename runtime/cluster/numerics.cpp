#include "runtime/cluster/numerics.hpp"

#include "runtime/checkpoint/input_file.hpp"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <optional>

namespace troupe {

namespace {

/// Version of the operations' arithmetic: raise it with any change of bits.
constexpr uint64_t operations_version = 4;

/// Settings as lines. Everything that is added is compared.
class lines {
public:
  void add(std::string_view name, std::string_view value) {
    text_.append(name).append(1, ' ').append(value).append(1, '\n');
  }

  template <class T>
  requires std::integral<T>
  void add(std::string_view name, T value) {
    if constexpr (std::same_as<T, bool>)
      add(name, value ? "true" : "false");
    else
      add(name, std::to_string(value));
  }

  /// In the shortest form that keeps every bit, if it can be without exponent.
  template <class T>
  requires std::floating_point<T>
  void add(std::string_view name, T value) {
    char text[64];
    auto end = text + sizeof text;
    auto is_plain = value == 0 || (value > T(1e-5) && value < T(1e15));
    auto out = is_plain
                 ? std::to_chars(text, end, value, std::chars_format::fixed)
                 : std::to_chars(text, end, value);
    CHECK(out.ec == std::errc{});
    add(name, std::string{text, out.ptr});
  }

  template <class T>
  void add(std::string_view name, const std::optional<T>& value) {
    if (value)
      add(name, *value);
    else
      add(name, "none");
  }

  /// A set: its order decides nothing.
  void add(std::string_view name, std::vector<int32_t> values) {
    std::ranges::sort(values);
    std::string text = values.empty() ? "none" : "";
    for (auto x : values)
      text += (text.empty() ? "" : ",") + std::to_string(x);
    add(name, text);
  }

  std::string take() {
    return std::move(text_);
  }

private:
  std::string text_;
};

// Structures are taken apart by structured bindings: a field that is added and
// forgotten here does not build. What decides nothing is named so.

void add(lines& out, const std::optional<yarn_scaling>& x) {
  out.add("rope_scaling", x ? "yarn" : "none");
  if (!x)
    return;
  auto& [factor, original_max_position_embeddings, beta_fast, beta_slow, mscale,
         mscale_all_dim, attention_factor, truncate]
    = *x;
  out.add("factor", factor);
  out.add("original_max_position_embeddings", original_max_position_embeddings);
  out.add("beta_fast", beta_fast);
  out.add("beta_slow", beta_slow);
  out.add("mscale", mscale);
  out.add("mscale_all_dim", mscale_all_dim);
  out.add("attention_factor", attention_factor);
  out.add("truncate", truncate);
}

/// What decides no token that a node computes is not said: the context's length
/// bounds requests, the begin token is the front's, as are the defaults of
/// sampling.
void add(lines& out, const model_config& x) {
  auto& [architecture, vocab_size, hidden_size, num_hidden_layers,
         first_k_dense_replace, intermediate_size, moe_intermediate_size,
         n_routed_experts, n_shared_experts, num_experts_per_tok, n_group,
         topk_group, routed_scaling_factor, norm_topk_prob, scoring_func,
         group_scoring, has_correction_bias, num_attention_heads, q_lora_rank,
         kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim,
         rms_norm_eps, rope_theta, rope_scaling, max_position_embeddings,
         tie_word_embeddings, mtp_layers_are_not_run, fp8, ue8m0, bos_token_id,
         eos_token_ids, generation]
    = x;
  out.add("architecture", architecture);
  out.add("vocab_size", vocab_size);
  out.add("hidden_size", hidden_size);
  out.add("num_hidden_layers", num_hidden_layers);
  out.add("first_k_dense_replace", first_k_dense_replace);
  out.add("intermediate_size", intermediate_size);
  out.add("moe_intermediate_size", moe_intermediate_size);
  out.add("n_routed_experts", n_routed_experts);
  out.add("n_shared_experts", n_shared_experts);
  out.add("num_experts_per_tok", num_experts_per_tok);
  out.add("n_group", n_group);
  out.add("topk_group", topk_group);
  out.add("routed_scaling_factor", routed_scaling_factor);
  out.add("norm_topk_prob", norm_topk_prob);
  out.add("scoring_func", int(scoring_func));
  out.add("group_scoring", int(group_scoring));
  out.add("has_correction_bias", has_correction_bias);
  out.add("num_attention_heads", num_attention_heads);
  out.add("q_lora_rank", q_lora_rank);
  out.add("kv_lora_rank", kv_lora_rank);
  out.add("qk_nope_head_dim", qk_nope_head_dim);
  out.add("qk_rope_head_dim", qk_rope_head_dim);
  out.add("v_head_dim", v_head_dim);
  out.add("rms_norm_eps", rms_norm_eps);
  out.add("rope_theta", rope_theta);
  add(out, rope_scaling);
  out.add("tie_word_embeddings", tie_word_embeddings);
  out.add("fp8", fp8);
  out.add("ue8m0", ue8m0);
  out.add("eos_token_ids", eos_token_ids);
}

/// Of a whole file; nothing if there is none.
result<std::optional<digest>>
digest_of_file(const std::filesystem::path& path) {
  auto file = input_file::open(path);
  if (!file && file.why().code == errc::not_found)
    return std::optional<digest>{};
  if (!file)
    return file.why();
  std::vector<std::byte> buffer(std::min<uint64_t>(file->size(), 1 << 20));
  digest_stream sum;
  for (uint64_t at = 0; at < file->size(); at += buffer.size()) {
    auto part = std::span{buffer}.first(
      std::min<uint64_t>(buffer.size(), file->size() - at));
    if (auto ok = file->read(at, part); !ok)
      return ok.why();
    sum.add(part);
  }
  return std::optional{sum.take()};
}

} // namespace

uint64_t name_hash(std::string_view tensor) {
  return digest_of(tensor).low;
}

result<std::string> settings_of(const std::filesystem::path& model_dir,
                                const model_config& config,
                                precision activations) {
  lines out;
  out.add("operations", operations_version);
  out.add("activations", to_string(activations));
  add(out, config);
  auto tokenizer = digest_of_file(model_dir / "tokenizer.json");
  if (!tokenizer)
    return tokenizer.why();
  out.add("tokenizer.json", *tokenizer ? to_string(**tokenizer) : "none");
  return out.take();
}

std::vector<numerics> parts_of(const digest_table& held) {
  std::vector<numerics> out(1);
  for (auto& [name, bytes] : held) {
    if (out.back().tensors.size() == max_tensors_in_part)
      out.emplace_back();
    out.back().tensors.push_back({name_hash(name), bytes});
  }
  out.back().is_complete = true;
  return out;
}

uint64_t operations_fingerprint() {
  return name_hash("operations " + std::to_string(operations_version));
}

} // namespace troupe
