#include "runtime/cost/layer_work.hpp"

#include "kernels/check.hpp"

namespace troupe {

namespace {

using enum kernel_family;

/// The scales and the head of a row that is dispatched.
constexpr double scale_bytes = 4, channels_of_scale = 128, row_head_bytes = 16;

} // namespace

step_load step_load::of(const batch& x) {
  step_load out;
  for (auto& s : x.sequences) {
    auto& to = s.form == attention_form::absorbed ? out.absorbed
                                                  : out.multi_head;
    double rows = double(s.tokens.size());
    double first = s.first_position;
    to.rows += rows;
    to.pairs += rows * first + rows * (rows + 1) / 2;
    to.keys += first + rows;
  }
  return out;
}

layer_work::layer_work(const model_config& config, const value_bytes& bytes)
  : c_(config), bytes_(bytes) {
}

// -- kinds of kernels ---------------------------------------------------------

/// [rows, in] times the transpose of [out, in].
kernel_work layer_work::product(double rows, double out, double in) const {
  return {products, 2 * rows * out * in,
          out * in * bytes_.weight + rows * in * bytes_.operand
            + rows * out * bytes_.value,
          bytes_.weight < 2};
}

/// The same for each head by itself; never narrow.
kernel_work layer_work::per_head_product(double rows, double out,
                                         double in) const {
  double heads = c_.num_attention_heads;
  return {products, 2 * rows * heads * out * in,
          heads * (out * in + rows * (in + out)) * bytes_.value, false};
}

/// Gate and up as one product, what lies between, and down.
void layer_work::add_mlp(kernel_list& to, double rows, double width) const {
  to.push_back(product(rows, 2 * width, c_.hidden_size));
  to.push_back(passing(rows * width * (2 * bytes_.value + bytes_.operand)));
  to.push_back(product(rows, c_.hidden_size, width));
}

// -- stages -------------------------------------------------------------------

kernel_list layer_work::prepare(const step_load& x) const {
  double rows = x.rows();
  double hidden = c_.hidden_size;
  double heads = c_.num_attention_heads;
  double latent = c_.kv_lora_rank;
  double rope = c_.qk_rope_head_dim;
  double nope = c_.qk_nope_head_dim;
  auto query = heads * (nope + rope);
  kernel_list out;
  out.push_back(passing(rows * hidden * (bytes_.value + bytes_.operand)));
  if (c_.q_lora_rank > 0) {
    double narrow = c_.q_lora_rank;
    out.push_back(product(rows, narrow + latent + rope, hidden));
    out.push_back(passing(rows * narrow * (bytes_.value + bytes_.operand)));
    out.push_back(product(rows, query, narrow));
  } else {
    out.push_back(product(rows, query + latent + rope, hidden));
  }
  auto turned = rows * (heads * rope + latent + rope) * bytes_.value;
  out.push_back(passing(2 * turned));
  if (x.absorbed.rows > 0)
    out.push_back(per_head_product(x.absorbed.rows, latent, nope));
  if (x.multi_head.rows > 0) {
    auto keys = x.multi_head.keys;
    auto made = heads * (nope + c_.v_head_dim);
    out.push_back(product(keys, made, latent));
    // Keys get their common part.
    out.push_back(passing(keys * heads * (2 * nope + rope) * bytes_.value));
  }
  return out;
}

kernel_list layer_work::attention(const step_load& x) const {
  double heads = c_.num_attention_heads;
  double latent = c_.kv_lora_rank;
  double rope = c_.qk_rope_head_dim;
  double key = c_.qk_nope_head_dim + rope;
  double value = c_.v_head_dim;
  kernel_list out;
  if (auto& a = x.absorbed; a.rows > 0) {
    out.push_back({core_attention, 2 * a.pairs * heads * (2 * latent + rope),
                   a.keys * (latent + rope) * bytes_.cached
                     + a.rows * heads * (2 * latent + rope) * bytes_.value,
                   false});
    out.push_back(per_head_product(a.rows, value, latent));
  }
  if (auto& a = x.multi_head; a.rows > 0)
    out.push_back({core_attention, 2 * a.pairs * heads * (key + value),
                   heads * (a.rows + a.keys) * (key + value) * bytes_.value,
                   false});
  auto width = heads * value;
  out.push_back(passing(x.rows() * width * (bytes_.value + bytes_.operand)));
  out.push_back(product(x.rows(), c_.hidden_size, width));
  return out;
}

kernel_list layer_work::dense_mlp(double rows) const {
  kernel_list out;
  out.push_back(
    passing(rows * c_.hidden_size * (bytes_.value + bytes_.operand)));
  add_mlp(out, rows, c_.intermediate_size);
  return out;
}

kernel_list layer_work::route(double rows) const {
  double hidden = c_.hidden_size;
  double all = c_.n_routed_experts;
  kernel_list out;
  out.push_back(passing(2 * rows * hidden * bytes_.value)); // norm
  out.push_back({products, 2 * rows * hidden * all,
                 (hidden * all + rows * (hidden + all)) * bytes_.value, false});
  out.push_back(passing(rows * all * bytes_.value)); // choice
  return out;
}

kernel_list layer_work::shared_expert(double rows) const {
  kernel_list out;
  if (c_.n_shared_experts == 0)
    return out;
  out.push_back(
    passing(rows * c_.hidden_size * (bytes_.value + bytes_.operand)));
  add_mlp(out, rows, double(c_.moe_intermediate_size) * c_.n_shared_experts);
  return out;
}

kernel_list layer_work::combine(double rows, double answers) const {
  auto own = 3 * rows * c_.hidden_size * bytes_.value; // residual, shared
  return {passing(answers * combine_row_bytes() + own)};
}

kernel_list layer_work::head(double rows) const {
  double hidden = c_.hidden_size;
  double words = c_.vocab_size;
  return {{products, 2 * rows * hidden * words,
           (hidden * words + rows * (hidden + words)) * 2, false}};
}

kernel_list layer_work::of(stage what, const step_load& x,
                           double answers) const {
  switch (what) {
    case stage::prepare:
      return prepare(x);
    case stage::attention:
      return attention(x);
    case stage::dense_mlp:
      return dense_mlp(x.rows());
    case stage::route:
      return route(x.rows());
    case stage::shared_expert:
      return shared_expert(x.rows());
    case stage::combine:
      return combine(x.rows(), answers);
    case stage::head:
      return head(x.rows());
    case stage::dispatch:
    case stage::end:
      break;
  }
  CHECK(false); // no stream runs these
}

kernel_list layer_work::experts(double pairs, double slots) const {
  double hidden = c_.hidden_size;
  double width = c_.moe_intermediate_size;
  auto grouped = [&](double out, double in) {
    auto x = product(pairs, out, in);
    x.family = kernel_family::experts;
    x.bytes += (slots - 1) * out * in * bytes_.weight;
    return x;
  };
  return {grouped(2 * width, hidden),
          passing(pairs * width * (2 * bytes_.value + bytes_.operand)),
          grouped(hidden, width)};
}

double layer_work::dispatch_row_bytes() const {
  double hidden = c_.hidden_size;
  auto scales = bytes_.operand < 2 ? hidden / channels_of_scale * scale_bytes
                                   : 0;
  return hidden * bytes_.operand + scales + row_head_bytes;
}

double layer_work::combine_row_bytes() const {
  return c_.hidden_size * bytes_.value;
}

} // namespace troupe
