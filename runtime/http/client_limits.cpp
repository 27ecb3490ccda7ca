#include "runtime/http/client_limits.hpp"

#include "runtime/duration.hpp"
#include "runtime/quantity.hpp"
#include "runtime/text/stop_strings.hpp"

#include <algorithm>
#include <optional>
#include <variant>

namespace troupe::http {

namespace {

using milliseconds = std::chrono::milliseconds;
using place = std::variant<size_t*, uint32_t*, milliseconds*>;
using limits = client_limits;

constexpr uint64_t day = 86'400'000; // ms

/// Times in milliseconds.
struct entry {
  std::string_view name;
  uint64_t least;
  uint64_t most; ///< What the code behind can do.
  place (*in)(limits&);
};

// What bytes and time a request may take.
constexpr entry of_bytes[] = {
  {"request-line", 64, 1 << 20,
   [](limits& x) -> place { return &x.server.reading.head.max_request_line; }},
  {"headers-bytes", 256, 1 << 20,
   [](limits& x) -> place { return &x.server.reading.head.max_bytes; }},
  {"headers", 8, 4096,
   [](limits& x) -> place { return &x.server.reading.head.max_lines; }},
  {"body", 1 << 10, 1 << 30,
   [](limits& x) -> place { return &x.server.reading.body.max_data; }},
  {"bodies", 1 << 20, uint64_t{1} << 40,
   [](limits& x) -> place { return &x.server.max_bodies; }},
  {"waiting", 1 << 20, uint64_t{1} << 40,
   [](limits& x) -> place { return &x.max_waiting_bytes; }},
  {"head-time", 100, day,
   [](limits& x) -> place { return &x.server.head_deadline; }},
  {"body-time", 100, day,
   [](limits& x) -> place { return &x.server.body_deadline; }},
  {"body-grace", 100, day,
   [](limits& x) -> place { return &x.server.body_grace; }},
  {"body-speed", 1, 1 << 30,
   [](limits& x) -> place { return &x.server.least_body_speed; }},
  {"idle-time", 100, day, [](limits& x) -> place { return &x.server.idle; }},
  {"unsent", 4 << 10, 1 << 30,
   [](limits& x) -> place { return &x.server.max_buffered; }},
  {"unsent-time", 100, day, [](limits& x) -> place { return &x.server.stall; }},
  {"greeting-time", 100, day,
   [](limits& x) -> place { return &x.server.greeting; }},
  {"surplus", 1, 1'000'000,
   [](limits& x) -> place { return &x.server.guests.surplus; }},
  {"surplus-per-address", 1, 1'000'000,
   [](limits& x) -> place { return &x.server.guests.surplus_per_client; }},
};

// What it may say.
constexpr entry of_words[] = {
  {"json-depth", 8, 128,
   [](limits& x) -> place { return &x.requests.max_depth; }},
  {"json-values", 64, 1 << 24,
   [](limits& x) -> place { return &x.requests.max_values; }},
  {"json-keys", 16, 1 << 20,
   [](limits& x) -> place { return &x.requests.max_keys; }},
  {"messages", 1, 1 << 20,
   [](limits& x) -> place { return &x.requests.max_messages; }},
  {"tools", 1, 4096, [](limits& x) -> place { return &x.requests.max_tools; }},
  {"tool-calls", 1, 4096,
   [](limits& x) -> place { return &x.requests.max_tool_calls; }},
  {"n", 1, 1024, [](limits& x) -> place { return &x.requests.max_n; }},
  {"answers", 1, 4096,
   [](limits& x) -> place { return &x.requests.max_answers; }},
  {"stops", 1, stop_strings::max_strings,
   [](limits& x) -> place { return &x.requests.max_stops; }},
  {"stop-bytes", 1, stop_strings::max_bytes,
   [](limits& x) -> place { return &x.requests.max_stop_bytes; }},
  {"stop-ids", 1, max_stop_ids,
   [](limits& x) -> place { return &x.requests.max_stop_ids; }},
  {"logit-bias", 1, max_biases,
   [](limits& x) -> place { return &x.requests.max_biases; }},
  {"top-logprobs", 0, max_scores - 1,
   [](limits& x) -> place { return &x.requests.max_top_scores; }},
  {"prompt-logprobs", 1, 1 << 26,
   [](limits& x) -> place { return &x.requests.max_prompt_scores; }},
  {"logprobs-bytes", 1 << 20, uint64_t{1} << 40,
   [](limits& x) -> place { return &x.requests.max_held_scores; }},
  {"grammar-bytes", 1, max_grammar_source,
   [](limits& x) -> place { return &x.requests.max_grammar_bytes; }},
};

bool is_time(const place& x) {
  return std::holds_alternative<milliseconds*>(x);
}

std::string written(uint64_t x, bool as_time) {
  if (as_time)
    return render_duration(milliseconds{x});
  for (auto& [suffix, worth] : {std::pair{"M", 1 << 20}, {"K", 1 << 10}})
    if (x > 0 && x % worth == 0)
      return std::to_string(x / worth) + suffix;
  return std::to_string(x);
}

std::optional<uint64_t> read(std::string_view text, bool as_time) {
  if (as_time) {
    auto x = parse_duration(text);
    if (!x || *x % milliseconds{1} != std::chrono::nanoseconds{0})
      return std::nullopt;
    return std::chrono::duration_cast<milliseconds>(*x).count();
  }
  constexpr quantity_unit units[]
    = {{"k", 1000}, {"K", 1 << 10}, {"m", 1'000'000}, {"M", 1 << 20}, {"", 1}};
  auto x = parse_quantity(text, units);
  return x ? std::optional{static_cast<uint64_t>(*x)} : std::nullopt;
}

void write(uint64_t x, const place& to) {
  if (auto* size = std::get_if<size_t*>(&to))
    **size = x;
  else if (auto* number = std::get_if<uint32_t*>(&to))
    **number = static_cast<uint32_t>(x);
  else
    *std::get<milliseconds*>(to) = milliseconds{x};
}

uint64_t value_at(const place& x) {
  if (auto* size = std::get_if<size_t*>(&x))
    return **size;
  if (auto* number = std::get_if<uint32_t*>(&x))
    return **number;
  return static_cast<uint64_t>(std::get<milliseconds*>(x)->count());
}

const entry* find(std::string_view name) {
  for (std::span<const entry> all :
       {std::span<const entry>{of_bytes}, std::span<const entry>{of_words}})
    for (auto& x : all)
      if (x.name == name)
        return &x;
  return nullptr;
}

failure bad(std::string why) {
  return {errc::invalid_input, std::move(why)};
}

} // namespace

std::vector<limit_name> named_limits(const client_limits& x) {
  auto copy = x;
  std::vector<limit_name> out;
  auto add = [&](std::span<const entry> all) {
    for (auto& one : all) {
      auto at = one.in(copy);
      out.push_back({one.name, written(value_at(at), is_time(at))});
    }
  };
  add(of_bytes);
  add(of_words);
  return out;
}

result<void> set_limit(std::string_view text, client_limits& to) {
  auto end = std::min(text.find('='), text.size());
  auto name = text.substr(0, end);
  const auto* it = find(name);
  if (!it) {
    std::string known;
    for (auto& x : named_limits(to))
      known += (known.empty() ? "" : ", ") + std::string{x.name};
    return bad("'" + std::string{text.substr(0, 64)}
               + "' is no limit: there are " + known
               + ", each with a value (body=16M)");
  }
  auto at = it->in(to);
  auto value = read(text.substr(std::min(end + 1, text.size())), is_time(at));
  if (!value || *value < it->least || *value > it->most)
    return bad(std::string{name} + " must be from "
               + written(it->least, is_time(at)) + " to "
               + written(it->most, is_time(at)));
  write(*value, at);
  return {};
}

result<void> check_limits(const client_limits& x) {
  auto body = x.server.reading.body.max_data;
  if (body > x.server.max_bodies / 2) // one in chunks has room to grow
    return bad("body must not be more than half of bodies, which is of all "
               "clients");
  // Each costs a little more than its bytes: see openai_api.
  if (body > x.max_waiting_bytes - (1 << 12))
    return bad("body must be less than waiting, which is of all that wait to "
               "be read");
  if (x.server.reading.head.max_request_line > x.server.reading.head.max_bytes)
    return bad("request-line must not be more than headers-bytes, which is of "
               "all of the head");
  return {};
}

} // namespace troupe::http
