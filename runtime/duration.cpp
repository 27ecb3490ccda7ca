#include "runtime/duration.hpp"

#include "runtime/quantity.hpp"

namespace troupe {

namespace {

// What is the end of another name comes after it.
constexpr quantity_unit units[] = {
  {"min", 60'000'000'000}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1},
  {"s", 1'000'000'000},
};

} // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  if (auto x = parse_quantity(text, units))
    return std::chrono::nanoseconds{*x};
  return std::nullopt;
}

std::string render_duration(std::chrono::nanoseconds x) {
  for (auto& [name, size] : {units[4], units[1], units[2]})
    if (x.count() % size == 0)
      return std::to_string(x.count() / size) + std::string{name};
  return std::to_string(x.count()) + "ns";
}

} // namespace troupe
