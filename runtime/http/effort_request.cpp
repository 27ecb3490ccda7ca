#include "runtime/http/effort_request.hpp"

#include <algorithm>
#include <array>

namespace troupe::http {

namespace {

constexpr std::array<std::string_view, 7> efforts
  = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};

constexpr std::array<std::string_view, 3> verbosities = {"low", "medium",
                                                         "high"};

} // namespace

void read_effort(field_reader& in, const char* name, chat_request& to) {
  auto effort = in.text_or(name, "medium");
  if (std::ranges::find(efforts, effort) == efforts.end())
    in.refuse(name, "must be none, minimal, low, medium, high, xhigh or max");
  if (effort == "none")
    to.rather_thinking = false;
}

void read_verbosity(field_reader& in) {
  auto x = in.text_or("verbosity", "medium");
  if (std::ranges::find(verbosities, x) == verbosities.end())
    in.refuse("verbosity", "must be low, medium or high");
}

} // namespace troupe::http
