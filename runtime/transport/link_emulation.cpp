#include "runtime/transport/link_emulation.hpp"

#include "runtime/duration.hpp"
#include "runtime/quantity.hpp"
#include "runtime/split_list.hpp"

#include <charconv>
#include <limits>

namespace troupe {

namespace {

// What is the end of another name comes after it.
constexpr quantity_unit rates[]
  = {{"gbit", 1'000'000'000}, {"mbit", 1'000'000}, {"kbit", 1'000}, {"bit", 1}};

constexpr std::pair<std::string_view, frame_filter> classes[] = {
  {"all", frame_filter::all},
  {"rows", frame_filter::rows},
  {"control", frame_filter::control},
  {"bulk", frame_filter::bulk},
};

/// What was wrong with a value; nothing if it was taken.
using complaint = std::optional<std::string>;

template <class T>
complaint read_number(std::string_view text, T least, T& to) {
  auto end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, to);
  if (error == std::errc{} && at == end && to >= least)
    return std::nullopt;
  return "must be a whole number from " + std::to_string(least) + " to "
         + std::to_string(std::numeric_limits<T>::max());
}

complaint read_span(std::string_view text, clock::instant::duration& to) {
  auto x = parse_duration(text);
  if (!x)
    return std::string{duration_form};
  to = *x;
  return std::nullopt;
}

complaint read_rate(std::string_view text, uint64_t& to) {
  auto bits = parse_quantity(text, rates);
  if (!bits || *bits == 0 || *bits % 8 != 0)
    return "must be a rate such as \"2.5gbit\", its unit bit, kbit, mbit or "
           "gbit, in whole bytes per second, below 1000000gbit";
  to = uint64_t(*bits) / 8;
  return std::nullopt;
}

complaint read_class(std::string_view text, frame_filter& to) {
  for (auto& [name, which] : classes)
    if (text == name) {
      to = which;
      return std::nullopt;
    }
  if (text == "heartbeat")
    return "must be another one: a node that is only slow is not to be taken "
           "for a dead one, so heartbeats are never held back";
  return "must be rows, control, bulk or all";
}

complaint read_key(std::string_view key, std::string_view value,
                   link_emulation& to) {
  if (key == "latency")
    return read_span(value, to.model.latency);
  if (key == "jitter")
    return read_span(value, to.model.jitter);
  if (key == "rate")
    return read_rate(value, to.model.bytes_per_second);
  if (key == "queue")
    return read_number(value, size_t{1}, to.model.max_queue);
  if (key == "to")
    return read_number(value, node_id{0}, to.to.emplace());
  if (key == "class")
    return read_class(value, to.which);
  if (key == "seed")
    return read_number(value, uint64_t{0}, to.seed);
  return "is none of latency, jitter, rate, queue, to, class and seed";
}

std::string render_rate(uint64_t bytes_per_second) {
  auto bits = bytes_per_second * 8;
  for (auto& [name, worth] : rates)
    if (bits % uint64_t(worth) == 0)
      return std::to_string(bits / uint64_t(worth)) + std::string{name};
  return {}; // every number is one of bits
}

} // namespace

bool link_emulation::is_none() const {
  return model.latency.count() == 0 && model.jitter.count() == 0
         && model.bytes_per_second == 0;
}

result<link_emulation> parse_link_emulation(std::string_view text) {
  link_emulation out;
  std::string seen = ",";
  for (auto part : split_list(text)) {
    auto sign = part.find('=');
    std::string key{part.substr(0, sign)};
    if (sign == part.npos)
      return failure{errc::invalid_input, "an emulated link: \"" + key
                                            + "\" is not of the form "
                                              "KEY=VALUE"};
    auto why = read_key(key, part.substr(sign + 1), out);
    if (!why && seen.find("," + key + ",") != seen.npos)
      why = "is there twice";
    if (why)
      return failure{errc::invalid_input,
                     "an emulated link: " + key + " " + *why};
    seen += key + ",";
  }
  if (out.is_none() && seen.find(",queue,") != seen.npos)
    return failure{errc::invalid_input,
                   "an emulated link: queue holds nothing where there is no "
                   "latency, jitter or rate"};
  return out;
}

std::string render(const link_emulation& x) {
  auto out = "latency=" + render_duration(x.model.latency);
  const link_emulation usual;
  if (x.model.jitter != usual.model.jitter)
    out += ",jitter=" + render_duration(x.model.jitter);
  if (x.model.bytes_per_second != usual.model.bytes_per_second)
    out += ",rate=" + render_rate(x.model.bytes_per_second);
  if (x.model.max_queue != usual.model.max_queue)
    out += ",queue=" + std::to_string(x.model.max_queue);
  if (x.to)
    out += ",to=" + std::to_string(*x.to);
  for (auto& [name, which] : classes)
    if (x.which == which && which != usual.which)
      out += ",class=" + std::string{name};
  if (x.seed != usual.seed)
    out += ",seed=" + std::to_string(x.seed);
  return out;
}

std::string describe(std::span<const link_emulation> all) {
  std::string list;
  for (auto& x : all)
    list += (list.empty() ? "" : "; then ") + render(x);
  return "frames to other nodes are held back on purpose, heartbeats are not: "
         + list;
}

} // namespace troupe
