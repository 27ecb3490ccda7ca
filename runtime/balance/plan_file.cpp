#include "runtime/balance/plan_file.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/formatted.hpp"
#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace troupe::balance {

namespace {

using nlohmann::json;

constexpr uint64_t max_plan_bytes = 256 << 20;

failure invalid(std::string_view name, std::string why) {
  return {errc::invalid_input, std::string{name} + ": " + why};
}

result<void> read_slots(const json& x, const layout_shape& shape,
                        layer_layout& out) {
  auto wrong = [](std::string why) {
    return failure{errc::invalid_input, std::move(why)};
  };
  auto slots = x.find("physical_to_logical");
  if (slots == x.end() || !slots->is_array()
      || slots->size() != shape.num_slots)
    return wrong(formatted("physical_to_logical must be a list of %u experts",
                           shape.num_slots));
  std::vector<char> is_there(shape.num_experts);
  for (auto& e : *slots) {
    if (!e.is_number_unsigned() || e.get<uint64_t>() >= shape.num_experts)
      return wrong(formatted("physical_to_logical must have experts below %u",
                             shape.num_experts));
    out.experts.push_back(e.get<uint32_t>());
    is_there[out.experts.back()] = true;
  }
  auto missing = std::ranges::find(is_there, char{false});
  if (missing != is_there.end())
    return wrong(
      formatted("expert %zu has no slot", size_t(missing - is_there.begin())));
  out.shares = even_shares(shape, out.experts);
  return {};
}

/// An expert's weights count relative to each other.
result<void> read_weights(const json& x, const layout_shape& shape,
                          layer_layout& out) {
  auto weights = x.find("weights");
  if (weights == x.end() || weights->is_null())
    return {};
  auto wrong = failure{
    errc::invalid_input,
    formatted("weights must be a list of %u numbers from 0 to 1, not all 0 for "
              "an expert",
              shape.num_slots)};
  if (!weights->is_array() || weights->size() != shape.num_slots)
    return wrong;
  std::vector<double> sums(shape.num_experts);
  for (size_t s = 0; s < weights->size(); ++s) {
    auto& w = (*weights)[s];
    if (!w.is_number() || !(w.get<double>() >= 0 && w.get<double>() <= 1))
      return wrong;
    out.shares[s] = w.get<double>();
    sums[out.experts[s]] += out.shares[s];
  }
  if (std::ranges::min(sums) <= 0)
    return wrong;
  for (size_t s = 0; s < out.shares.size(); ++s)
    out.shares[s] /= sums[out.experts[s]];
  return {};
}

result<planned_layer> read_layer(const json& x, const layout_shape& shape) {
  if (!x.is_object())
    return failure{errc::invalid_input, "must be an object"};
  auto layer = x.find("layer");
  if (layer == x.end() || !layer->is_number_unsigned()
      || layer->get<uint64_t>() > UINT32_MAX)
    return failure{errc::invalid_input, "layer must be a whole number"};
  planned_layer out;
  out.layer = layer->get<uint32_t>();
  if (auto ok = read_slots(x, shape, out.layout); !ok)
    return ok.why();
  if (auto ok = read_weights(x, shape, out.layout); !ok)
    return ok.why();
  return out;
}

} // namespace

std::string to_json(const plan_report& x) {
  auto layers = json::array();
  for (auto& layer : x.layers)
    layers.push_back({{"layer", layer.layer},
                      {"physical_to_logical", layer.layout.experts},
                      {"weights", layer.layout.shares},
                      {"balance", layer.balance},
                      {"bound", layer.bound}});
  json out{
    {"seconds", x.seconds}, {"moves", x.moves}, {"layers", std::move(layers)}};
  return out.dump() + "\n";
}

std::string to_text(const plan_report& x, const layout_shape& shape,
                    std::span<const std::vector<double>> loads) {
  auto out = formatted("%5s  %8s  %8s  %9s  %s\n", "layer", "balance",
                       "possible", "mean rows", "replicas of the hottest");
  double sum = 0, least = 1;
  for (size_t i = 0; i < x.layers.size(); ++i) {
    auto& layer = x.layers[i];
    double mean = 0;
    for (auto w : loads[i])
      mean += w / shape.num_workers;
    auto hottest = std::ranges::max_element(loads[i]) - loads[i].begin();
    auto count = std::ranges::count(layer.layout.experts, uint32_t(hottest));
    out += formatted("%5u  %8.4f  %8.4f  %9.0f  %zd (expert %zd)\n",
                     layer.layer, layer.balance,
                     layer.bound > 0 ? mean / layer.bound : 1, mean, count,
                     hottest);
    sum += layer.balance;
    least = std::min(least, layer.balance);
  }
  out += formatted("balance (mean over largest load of a GPU): %.4f on average,"
                   " %.4f at least\n",
                   sum / double(x.layers.size()), least);
  out += formatted("%llu copies to make, planned in %.1f ms\n",
                   static_cast<unsigned long long>(x.moves), x.seconds * 1e3);
  return out;
}

result<std::vector<planned_layer>> parse_plan(std::string_view text,
                                              std::string_view name,
                                              const layout_shape& shape) {
  auto all = parse_json(name, text);
  if (!all)
    return all.why();
  auto layers = all->is_object() ? all->find("layers") : all->end();
  if (!all->is_object() || layers == all->end() || !layers->is_array())
    return invalid(name, "there is no list \"layers\"");
  std::vector<planned_layer> out;
  for (auto& x : *layers) {
    auto layer = read_layer(x, shape);
    if (!layer)
      return invalid(name, formatted("layers[%zu]: %s", out.size(),
                                     layer.why().message.c_str()));
    out.push_back(std::move(*layer));
  }
  return out;
}

result<std::vector<planned_layer>> read_plan(const std::filesystem::path& path,
                                             const layout_shape& shape) {
  auto text = read_regular_file(path, max_plan_bytes);
  if (!text)
    return text.why();
  return parse_plan(*text, path.string(), shape);
}

} // namespace troupe::balance
