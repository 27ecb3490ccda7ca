#include "deploy/simulate_report.hpp"

#include "runtime/as_seconds.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>

namespace troupe {

namespace {

using nlohmann::ordered_json;

std::string hex(uint64_t x) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(x));
  return text;
}

size_t num_happened(const simulation_result& x) {
  size_t out = 0;
  for (auto& fault : x.faults)
    out += fault.outcome == fault_outcome::happened;
  return out;
}

std::string line_of(const fault_report& x) {
  auto out = x.what + ": " + std::string{to_string(x.outcome)};
  if (x.first_begin)
    out += " at " + std::to_string(as_seconds(*x.first_begin - world_begin))
           + " s";
  if (!x.evidence.empty())
    out += ", " + x.evidence;
  if (!x.why.empty())
    out += ", " + x.why;
  return out;
}

} // namespace

std::string summary(const simulation_result& x) {
  char text[256];
  auto& r = x.requests;
  std::snprintf(text, sizeof text,
                "seed %llu: %s, %llu completed, %llu failed, %llu cancelled, "
                "%llu refused, %zu faults, %.3f s, trace %s",
                static_cast<unsigned long long>(x.seed),
                x.holds() ? "held" : "FAILED",
                static_cast<unsigned long long>(r.completed),
                static_cast<unsigned long long>(r.failed),
                static_cast<unsigned long long>(r.cancelled),
                static_cast<unsigned long long>(r.refused), num_happened(x),
                as_seconds(x.length), hex(x.trace_hash).c_str());
  return text;
}

std::string details(const simulation_result& x) {
  std::string out;
  for (auto& entry : x.last)
    out += "  " + to_string(entry) + "\n";
  for (auto& fault : x.faults)
    out += "fault " + line_of(fault) + "\n";
  for (auto& v : x.violations)
    out += "seed " + std::to_string(x.seed) + " at "
           + std::to_string(as_seconds(v.at - world_begin))
           + " s: " + to_string(v) + "\n";
  return out;
}

std::string to_json(const simulation_result& x) {
  ordered_json out{{"seed", x.seed},
                   {"held", x.holds()},
                   {"trace_hash", hex(x.trace_hash)},
                   {"virtual_seconds", as_seconds(x.length)},
                   {"start_seconds", as_seconds(x.started)},
                   {"requests",
                    {{"completed", x.requests.completed},
                     {"failed", x.requests.failed},
                     {"cancelled", x.requests.cancelled},
                     {"refused", x.requests.refused},
                     {"tokens", x.requests.tokens}}}};
  auto& events = out["events"] = ordered_json::object();
  for (size_t i = 0; i < num_trace_kinds; ++i)
    if (x.events[i] > 0)
      events[std::string{to_string(trace_kind(i))}] = x.events[i];
  auto& faults = out["faults"] = ordered_json::array();
  for (auto& fault : x.faults)
    faults.push_back({{"what", fault.what},
                      {"outcome", to_string(fault.outcome)},
                      {"times", fault.times},
                      {"evidence", fault.evidence},
                      {"why", fault.why}});
  auto& violations = out["violations"] = ordered_json::array();
  for (auto& v : x.violations)
    violations.push_back({{"invariant", v.invariant},
                          {"at_seconds", as_seconds(v.at - world_begin)},
                          {"what", v.what}});
  auto& reached = out["reached"] = ordered_json::array();
  for (size_t i = 0; i < num_sometimes; ++i)
    if (x.reached.has(sometimes(i)))
      reached.push_back(to_string(sometimes(i)));
  return out.dump();
}

} // namespace troupe
