#include "runtime/topology_shorthand.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace troupe {

namespace {

constexpr uint32_t max_parts = 4096; // as in a file

failure invalid(const std::string& message) {
  return {errc::invalid_input, message};
}

/// Takes a number from 1 up off the beginning.
std::optional<uint32_t> take_number(std::string_view& text) {
  uint32_t out = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(),
                                      out);
  if (error != std::errc{} || out == 0 || text.front() == '0')
    return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return out;
}

/// N of "depN".
std::optional<uint32_t> size_of_unit(std::string_view text) {
  if (!text.starts_with("dep"))
    return std::nullopt;
  text.remove_prefix(3);
  auto out = take_number(text);
  return text.empty() ? out : std::nullopt;
}

struct unit_counts {
  uint32_t prefill = 0;
  uint32_t decode = 0;
};

/// x and y of "xPyD".
std::optional<unit_counts> counts_of(std::string_view text) {
  auto prefill = take_number(text);
  if (!prefill || !text.starts_with('P'))
    return std::nullopt;
  text.remove_prefix(1);
  auto decode = take_number(text);
  if (!decode || text != "D")
    return std::nullopt;
  return unit_counts{*prefill, *decode};
}

/// The next `count` numbers.
std::vector<uint32_t> take_numbers(uint32_t& next, uint32_t count) {
  std::vector<uint32_t> out(count);
  for (auto& x : out)
    x = next++;
  return out;
}

/// Appends `count` units of `size` ranks and workers.
void add_units(std::vector<topology_unit>& out, unit_role role, uint32_t count,
               uint32_t size) {
  auto next = out.empty() ? 0 : out.back().ranks.back() + 1;
  for (uint32_t i = 0; i < count; ++i) {
    topology_unit unit;
    unit.role = role;
    if (role != unit_role::both)
      unit.name = to_string(role) + ("-" + std::to_string(i));
    unit.ranks = unit.workers = take_numbers(next, size);
    out.push_back(std::move(unit));
  }
}

/// Of so many parts, what the node at `index` of `num_nodes` takes.
uint32_t share(uint32_t num_parts, uint32_t index, uint32_t num_nodes) {
  return num_parts / num_nodes + (index < num_parts % num_nodes ? 1 : 0);
}

} // namespace

bool is_shorthand(std::string_view text) {
  return size_of_unit(text) || counts_of(text);
}

result<std::vector<topology_unit>> parse_shorthand(std::string_view text,
                                                   std::string_view prefill,
                                                   std::string_view decode) {
  std::vector<topology_unit> out;
  uint64_t num_parts = 0;
  if (auto size = size_of_unit(text)) {
    num_parts = *size;
    if (num_parts <= max_parts)
      add_units(out, unit_role::both, 1, *size);
  } else {
    auto counts = counts_of(text);
    CHECK(counts);
    auto first = size_of_unit(prefill);
    auto second = size_of_unit(decode);
    if (!first || !second)
      return invalid(std::string{first ? decode : prefill}
                     + " is no size of a unit, which is depN: N ranks and N "
                       "workers");
    num_parts = uint64_t{counts->prefill} * *first
                + uint64_t{counts->decode} * *second;
    if (num_parts <= max_parts) {
      add_units(out, unit_role::prefill, counts->prefill, *first);
      add_units(out, unit_role::decode, counts->decode, *second);
    }
  }
  if (num_parts > max_parts)
    return invalid(std::string{text} + " has " + std::to_string(num_parts)
                   + " ranks; there may be " + std::to_string(max_parts));
  return out;
}

topology spread(std::vector<topology_unit> units, uint32_t num_nodes) {
  CHECK(!units.empty() && num_nodes >= 1);
  auto num_parts = units.back().ranks.back() + 1;
  auto out = num_nodes == 1 ? single_process(num_parts, num_parts)
                            : local(2, num_parts, num_parts);
  out.units = std::move(units);
  if (num_nodes <= 2)
    return out;
  out.nodes.pop_back();
  auto num_holders = std::min(num_nodes - 1, num_parts);
  uint32_t next = 0;
  for (uint32_t i = 0; i < num_holders; ++i) {
    topology_node node;
    node.name = "company-" + std::to_string(i);
    node.ranks = take_numbers(next, share(num_parts, i, num_holders));
    node.workers = node.ranks;
    out.nodes.push_back(std::move(node));
  }
  return out;
}

} // namespace troupe
