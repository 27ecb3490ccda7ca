#include "runtime/model/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe {

namespace {

double mscale(double factor, double scale) {
  return factor <= 1 ? 1 : 0.1 * scale * std::log(factor) + 1;
}

/// The dimension (pair) that turns `turns` times within the original length.
double dimension_of(double turns, const model_config& c) {
  return c.qk_rope_head_dim
         * std::log(c.rope_scaling->original_max_position_embeddings
                    / (turns * 2 * std::numbers::pi))
         / (2 * std::log(c.rope_theta));
}

/// Angle per position of each pair: [rope / 2]. YaRN divides slow dimensions
/// by the factor, leaves fast ones alone and blends linearly in between.
std::vector<double> frequencies(const model_config& c) {
  std::vector<double> out(c.qk_rope_head_dim / 2);
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = std::pow(c.rope_theta,
                      -2.0 * static_cast<double>(i) / c.qk_rope_head_dim);
  if (!c.rope_scaling)
    return out;
  auto& s = *c.rope_scaling;
  auto low = dimension_of(s.beta_fast, c);
  auto high = dimension_of(s.beta_slow, c);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, c.qk_rope_head_dim - 1.0);
  auto width = high == low ? 0.001 : high - low;
  for (size_t i = 0; i < out.size(); ++i) {
    auto ramp = std::clamp((static_cast<double>(i) - low) / width, 0.0, 1.0);
    out[i] = out[i] / s.factor * ramp + out[i] * (1 - ramp);
  }
  return out;
}

} // namespace

float softmax_scale(const model_config& c) {
  auto scale = 1 / std::sqrt(double(c.qk_nope_head_dim + c.qk_rope_head_dim));
  if (c.rope_scaling) {
    auto m = mscale(c.rope_scaling->factor, c.rope_scaling->mscale_all_dim);
    scale *= m * m;
  }
  return static_cast<float>(scale);
}

std::vector<float> rope_table(const model_config& c, uint32_t num_positions) {
  auto frequency = frequencies(c);
  auto size = 1.0;
  if (auto& s = c.rope_scaling)
    size = s->attention_factor.value_or(mscale(s->factor, s->mscale)
                                        / mscale(s->factor, s->mscale_all_dim));
  std::vector<float> out;
  out.reserve(uint64_t{num_positions} * c.qk_rope_head_dim);
  for (uint32_t position = 0; position < num_positions; ++position)
    for (auto f : frequency) {
      out.push_back(static_cast<float>(std::cos(position * f) * size));
      out.push_back(static_cast<float>(std::sin(position * f) * size));
    }
  return out;
}

} // namespace troupe
