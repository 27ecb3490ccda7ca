#include "runtime/checkpoint/rope_config.hpp"

namespace troupe {

namespace {

constexpr double min_theta = 1.001;
constexpr double max_theta = 1e12;

/// What one object says; `scaling` is empty if positions turn as they are.
struct rope_words {
  std::optional<double> theta;
  std::optional<yarn_scaling> scaling;
};

/// "yarn", "default" or nothing if it is refused.
std::string read_type(field_reader& in) {
  auto type = in.text_or("rope_type", "");
  auto old = in.text_or("type", "");
  if (!type.empty() && !old.empty() && type != old)
    in.refuse("type", "must be what rope_type says");
  auto name = type.empty() ? "type" : "rope_type";
  if (type.empty())
    type = old;
  // Who only names a base scales nothing.
  if (type.empty() && !in.has("factor"))
    return "default";
  if (type == "yarn" || type == "default")
    return type;
  in.refuse(name, "must be yarn or default");
  return {};
}

yarn_scaling read_yarn(field_reader& in) {
  yarn_scaling y;
  y.factor = in.number("factor", 1, 1e6);
  y.original_max_position_embeddings
    = in.number("original_max_position_embeddings", 1, 1e9);
  y.beta_fast = in.number_or("beta_fast", 1e-3, 1e6, y.beta_fast);
  y.beta_slow = in.number_or("beta_slow", 1e-3, 1e6, y.beta_slow);
  y.mscale = in.number_or("mscale", 0, 100, y.mscale);
  y.mscale_all_dim = in.number_or("mscale_all_dim", 0, 100, y.mscale_all_dim);
  if (in.has("attention_factor"))
    y.attention_factor = in.number("attention_factor", 1e-3, 1e3);
  y.truncate = in.boolean_or("truncate", true);
  return y;
}

std::optional<rope_words> read_words(field_reader& outer,
                                     std::string_view name) {
  auto in = outer.object(name);
  if (!in)
    return std::nullopt;
  rope_words out;
  if (in->has("rope_theta"))
    out.theta = in->number("rope_theta", min_theta, max_theta);
  in->must_be("partial_rotary_factor", "1");
  auto type = read_type(*in);
  if (type == "yarn")
    out.scaling = read_yarn(*in);
  in->refuse_unknown({});
  outer.absorb(*in);
  return out;
}

} // namespace

void read_rope(field_reader& in, model_config& out) {
  auto old = read_words(in, "rope_scaling");
  auto all = read_words(in, "rope_parameters");
  std::optional<double> theta;
  if (in.has("rope_theta"))
    theta = in.number("rope_theta", min_theta, max_theta);
  for (auto* words : {&old, &all}) {
    if (!*words || !(*words)->theta)
      continue;
    if (theta && *theta != *(*words)->theta)
      in.refuse("rope_theta", "is there twice, with two values");
    theta = (*words)->theta;
  }
  if (old && all && old->scaling != all->scaling)
    in.refuse("rope_scaling", "must be what rope_parameters says");
  out.rope_theta = theta.value_or(10000);
  if (all)
    out.rope_scaling = all->scaling;
  else if (old)
    out.rope_scaling = old->scaling;
}

} // namespace troupe
