#include "runtime/verify/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace troupe {

namespace {

std::string exponential(double x) {
  char out[32];
  std::snprintf(out, sizeof(out), "%.2e", x);
  return out;
}

std::string percent(double x) {
  char out[32];
  std::snprintf(out, sizeof(out), "%.1f%%", 100 * x);
  return out;
}

bool is_finite(const std::vector<float>& x) {
  return std::all_of(x.begin(), x.end(),
                     [](float v) { return std::isfinite(v); });
}

/// From the first set position on: all later ones depend on it.
void spread(std::vector<bool>& x) {
  auto at = std::find(x.begin(), x.end(), true);
  std::fill(at, x.end(), true);
}

/// Sets `x` behind the first position that is set in `of`.
void set_behind(const std::vector<bool>& of, std::vector<bool>& x) {
  auto at = std::find(of.begin(), of.end(), true) - of.begin();
  for (auto i = static_cast<size_t>(at) + 1; i < x.size(); ++i)
    x[i] = true;
}

/// [M * T]: the engine chose another set of experts.
std::vector<bool> other_experts(const golden_prompt& g, const engine_prompt& e,
                                uint32_t k) {
  CHECK(g.experts.size() == e.experts.size());
  std::vector<bool> out;
  for (size_t i = 0; i < g.experts.size(); i += k) {
    auto row = [&](const std::vector<int32_t>& all) {
      auto begin = all.begin() + static_cast<ptrdiff_t>(i);
      std::vector<int32_t> sorted(begin, begin + k);
      std::sort(sorted.begin(), sorted.end());
      return sorted;
    };
    out.push_back(row(g.experts) != row(e.experts));
  }
  return out;
}

} // namespace

/// [T] each.
struct comparison::masks {
  std::vector<std::vector<bool>> clear;   ///< [L + 2]
  std::vector<std::vector<bool>> flipped; ///< [L + 2] itself chose others
  std::vector<std::vector<bool>> routed;  ///< [M] what the router saw is clear
};

void error_sum::add(const float* golden, const float* engine, size_t count) {
  ++positions;
  for (size_t i = 0; i < count; ++i) {
    auto g = double{golden[i]};
    auto d = engine[i] - g;
    if (std::isnan(d))
      d = std::numeric_limits<double>::infinity();
    worst = std::max(worst, std::abs(d));
    d2 += d * d;
    g2 += g * g;
  }
}

double error_sum::rms() const {
  return g2 > 0 ? std::sqrt(d2 / g2) : 0;
}

comparison::comparison(const model_config& config, double near)
  : c_(config), near_(near) {
}

void comparison::add(const golden_prompt& g, const engine_prompt& e) {
  auto other = other_experts(g, e, c_.num_experts_per_tok);
  auto m = mask(g, other);
  check_finite(e);
  add_states(g, e, m);
  add_routes(g, e, m, other);
  add_layers(g, e);
  add_greedy(g, e, m,
             std::find(other.begin(), other.end(), true) != other.end());
  ++prompts_;
}

comparison::masks comparison::mask(const golden_prompt& g,
                                   const std::vector<bool>& other) const {
  auto tokens = g.tokens.size();
  std::vector<bool> disturbed(tokens), flipped(tokens);
  masks out;
  auto push = [&] {
    std::vector<bool> clear(tokens);
    for (size_t t = 0; t < tokens; ++t)
      clear[t] = !disturbed[t] && !flipped[t];
    out.clear.push_back(clear);
    out.flipped.push_back(flipped);
    return clear;
  };
  push();
  for (uint32_t i = 0; i < c_.num_hidden_layers; ++i) {
    for (size_t t = 0; t < tokens && !g.quant_margin.empty(); ++t)
      if (g.quant_margin[i * tokens + t] < near_)
        disturbed[t] = true;
    // Attention brings what lies in earlier positions.
    spread(disturbed);
    set_behind(flipped, disturbed);
    if (c_.is_moe(i)) {
      auto first = size_t{i - c_.first_k_dense_replace} * tokens;
      out.routed.emplace_back(tokens);
      for (size_t t = 0; t < tokens; ++t) {
        out.routed.back()[t] = !disturbed[t] && !flipped[t];
        if (other[first + t])
          flipped[t] = true;
      }
    }
    push();
  }
  push();
  return out;
}

void comparison::check_finite(const engine_prompt& e) {
  auto prefix = "p" + std::to_string(prompts_) + ".";
  auto check = [&](const char* name, const std::vector<float>& x) {
    if (!is_finite(x))
      not_finite_.push_back(prefix + name);
  };
  check("logits", e.logits);
  check("hidden", e.hidden);
  check("weights", e.weights);
  check("layers", e.layers);
}

void comparison::add_states(const golden_prompt& g, const engine_prompt& e,
                            const masks& m) {
  auto tokens = g.tokens.size();
  auto states = c_.num_hidden_layers + 2;
  CHECK(g.hidden.size() == e.hidden.size());
  CHECK(g.logits.size() == e.logits.size());
  for (uint32_t i = 0; i <= states; ++i) {
    auto is_logits = i == states;
    auto width = is_logits ? c_.vocab_size : c_.hidden_size;
    auto& golden = is_logits ? g.logits : g.hidden;
    auto& engine = is_logits ? e.logits : e.hidden;
    auto at = std::min(i, states - 1);
    auto& clear = errors_[{i, false}];
    auto& loose = errors_[{i, true}];
    for (size_t t = 0; t < tokens; ++t) {
      auto first = ((is_logits ? 0 : i * tokens) + t) * width;
      if (m.clear[at][t])
        clear.add(golden.data() + first, engine.data() + first, width);
      else if (!m.flipped[at][t])
        loose.add(golden.data() + first, engine.data() + first, width);
    }
  }
}

void comparison::add_routes(const golden_prompt& g, const engine_prompt& e,
                            const masks& m, const std::vector<bool>& other) {
  auto tokens = g.tokens.size();
  auto k = c_.num_experts_per_tok;
  places_ += other.size();
  if (other.empty())
    return;
  auto largest = *std::max_element(g.weights.begin(), g.weights.end());
  for (size_t i = 0; i < other.size(); ++i) {
    auto layer = i / tokens;
    auto t = i % tokens;
    if (other[i])
      flips_.push_back({g.margin[i], m.routed[layer][t],
                        "p" + std::to_string(prompts_) + ", MoE layer "
                          + std::to_string(layer) + ", position "
                          + std::to_string(t)});
    auto first = static_cast<ptrdiff_t>(i * k);
    if (!m.routed[layer][t]
        || !std::equal(g.experts.begin() + first, g.experts.begin() + first + k,
                       e.experts.begin() + first))
      continue;
    for (size_t j = i * k; j < (i + 1) * k; ++j)
      weights_ = std::max(weights_,
                          std::abs(double{e.weights[j]} - double{g.weights[j]})
                            / double{largest});
  }
}

void comparison::add_layers(const golden_prompt& g, const engine_prompt& e) {
  if (e.layers.empty())
    return;
  auto hidden = c_.hidden_size;
  auto rows = size_t{c_.num_hidden_layers} * g.tokens.size();
  for (size_t row = 0; row < rows; ++row) {
    double error = 0;
    double added = 0;
    for (size_t i = row * hidden; i < (row + 1) * hidden; ++i) {
      auto before = double{g.hidden[i]};
      auto after = double{g.hidden[i + g.tokens.size() * hidden]};
      error += (e.layers[i] - after) * (e.layers[i] - after);
      added += (after - before) * (after - before);
    }
    layers_.push_back(std::sqrt(error / added));
  }
}

void comparison::add_greedy(const golden_prompt& g, const engine_prompt& e,
                            const masks& m, bool any_other) {
  CHECK(g.greedy.size() == e.greedy.size());
  auto differs
    = std::mismatch(g.greedy.begin(), g.greedy.end(), e.greedy.begin()).first;
  greedy_result out;
  out.prompt = prompts_;
  out.agree = static_cast<size_t>(differs - g.greedy.begin());
  out.count = g.greedy.size();
  out.gap = out.margin = std::numeric_limits<double>::infinity();
  if (out.agree < out.count) {
    out.gap = g.greedy_gap[out.agree];
    out.margin = *std::min_element(g.greedy_margin.begin(),
                                   g.greedy_margin.begin()
                                     + static_cast<ptrdiff_t>(out.agree) + 1);
  }
  out.excused = out.agree == out.count || any_other || !m.clear.back().back()
                || (!g.quant_margin.empty() && out.agree > 0);
  greedy_.push_back(out);
}

// -- the verdict --------------------------------------------------------------

namespace {

/// "max abs 1.00e-03 (bound ...)" and so on of one kind of state.
std::string text_of(const error_sum& error, const error_bounds& bound,
                    bool is_logits) {
  auto out = std::to_string(error.positions) + " positions, max abs "
             + exponential(error.worst);
  if (is_logits)
    out += " (bound " + exponential(bound.max_abs) + ")";
  return out + ", relative RMS " + exponential(error.rms()) + " (bound "
         + exponential(bound.rel_rms) + ")";
}

void add_line(comparison::report& out, std::string text, bool is_fault) {
  if (is_fault)
    out.faults.push_back(text);
  out.lines.push_back(std::move(text));
}

} // namespace

void comparison::judge_states(const golden_bounds& b, report& out) const {
  for (auto& [key, error] : errors_) {
    auto [state, is_loose] = key;
    auto is_logits = state == c_.num_hidden_layers + 2;
    auto& bound = is_loose ? b.loose : b.clear;
    auto name = is_logits ? std::string{"logits"}
                          : "hidden " + std::to_string(state);
    // Not >: what cannot be compared is out of bounds.
    auto is_within = error.rms() <= bound.rel_rms
                     && (!is_logits || error.worst <= bound.max_abs);
    add_line(out,
             name + (is_loose ? " loose: " : " clear: ")
               + text_of(error, bound, is_logits),
             !is_within);
  }
}

void comparison::judge_routes(const golden_bounds& b, report& out) const {
  auto most = std::max(2.0, b.other_experts * static_cast<double>(places_));
  add_line(out,
           "other experts: " + std::to_string(flips_.size()) + " of "
             + std::to_string(places_) + " (bound "
             + std::to_string(static_cast<uint64_t>(most)) + ")",
           static_cast<double>(flips_.size()) > most);
  for (auto& flip : flips_)
    add_line(out,
             "other experts: " + flip.where + ", margin "
               + exponential(flip.margin),
             flip.is_clear && flip.margin > b.eps);
  add_line(out,
           "routing weights: max abs " + exponential(weights_)
             + " of the largest (bound " + exponential(b.weights) + ")",
           !(weights_ <= b.weights));
}

void comparison::judge_layers(const golden_bounds& b, report& out) const {
  if (layers_.empty())
    return;
  double within = 0;
  double sum = 0;
  for (auto x : layers_) {
    within += x < b.layer_within ? 1 : 0;
    sum += x * x;
  }
  auto count = static_cast<double>(layers_.size());
  auto rms = std::sqrt(sum / count);
  add_line(out,
           "layer by layer: " + percent(within / count)
             + " of positions within " + exponential(b.layer_within)
             + " (bound " + percent(b.layer_share) + "), RMS "
             + exponential(rms) + " (bound " + exponential(b.layer_rms) + ")",
           within / count < b.layer_share || !(rms <= b.layer_rms));
}

comparison::report comparison::judge(const golden_bounds& b) const {
  report out;
  for (auto& name : not_finite_)
    add_line(out, name + " is not finite", true);
  judge_states(b, out);
  judge_routes(b, out);
  judge_layers(b, out);
  for (auto& x : greedy_)
    add_line(out,
             "p" + std::to_string(x.prompt) + " greedy: "
               + std::to_string(x.agree) + " of " + std::to_string(x.count),
             !x.excused && x.gap > b.gap && x.margin > b.eps);
  return out;
}

} // namespace troupe
