#include "runtime/sim/request_load.hpp"

#include "kernels/check.hpp"
#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/duration.hpp"
#include "runtime/fnv.hpp"
#include "runtime/json/field_reader.hpp"
#include "runtime/sim/random_stream.hpp"
#include "runtime/split_list.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <limits>

namespace troupe {

namespace {

constexpr uint64_t max_load_bytes = 64 << 20;
constexpr size_t max_requests = 1 << 16;
constexpr size_t max_prompt = 1 << 20;
constexpr uint32_t max_rate = 1'000'000;

failure invalid(std::string message) {
  return {errc::invalid_input, std::move(message)};
}

// -- files --------------------------------------------------------------------

virtual_duration read_span(field_reader& in, std::string_view name,
                           const nlohmann::json& x) {
  auto span = parse_duration(in.text_at(x, name));
  if (!span)
    in.refuse(name, std::string{duration_form});
  return span.value_or(virtual_duration{0});
}

void read_prompt(field_reader& in, client_request& out) {
  auto x = in.find("prompt");
  if (!x)
    return in.refuse("prompt", "is needed", field_fault::missing);
  if (x->is_string())
    out.text = in.text("prompt");
  else
    out.request.prompt = in.integers(
      "prompt", 0, std::numeric_limits<int32_t>::max(), max_prompt);
  if (out.text.empty() && out.request.prompt.empty())
    in.refuse("prompt", "must be a text or a list of ids, not empty");
}

void read_cancel(field_reader& in, client_request& out) {
  constexpr auto most = std::numeric_limits<uint32_t>::max();
  auto x = in.find("cancel_after");
  if (x && x->is_string())
    out.cancel_after = read_span(in, "cancel_after", *x);
  else if (x)
    out.cancel_after_tokens
      = static_cast<uint32_t>(in.whole("cancel_after", 0, most).value_or(0));
}

void read_streams(field_reader& in, client_load& out) {
  out.streams = in.integer_or("streams", 0, max_requests, 0);
  in.refuse_unknown({});
}

client_request read_request(field_reader& in) {
  constexpr auto most = std::numeric_limits<uint32_t>::max();
  client_request out;
  read_prompt(in, out);
  auto& x = out.request;
  x.max_tokens = in.integer_or("max_tokens", 1, most, 0);
  x.ignore_eos = in.boolean_or("ignore_eos", false);
  x.sampling.temperature
    = static_cast<float>(in.number_or("temperature", 0, 100, 0));
  x.sampling.top_p
    = std::max(std::numeric_limits<float>::min(),
               static_cast<float>(in.number_or("top_p", 0, 1, 1)));
  x.sampling.top_k = in.integer_or("top_k", 0, most, 0);
  x.sampling.seed
    = in.whole("seed", 0, std::numeric_limits<uint64_t>::max()).value_or(0);
  x.priority = static_cast<int32_t>(
    in.signed_whole("priority", -max_priority, max_priority).value_or(0));
  if (in.has("regex"))
    x.grammar = {grammar_kind::regex, in.text("regex")};
  if (auto arrival = in.find("arrival"))
    out.arrival = read_span(in, "arrival", *arrival);
  read_cancel(in, out);
  in.refuse_unknown({});
  return out;
}

std::string render(const client_request& x) {
  nlohmann::ordered_json out;
  if (x.request.prompt.empty())
    out["prompt"] = x.text;
  else
    out["prompt"] = x.request.prompt;
  if (x.request.max_tokens > 0)
    out["max_tokens"] = x.request.max_tokens;
  out["temperature"] = x.request.sampling.temperature;
  out["top_p"] = x.request.sampling.top_p;
  out["top_k"] = x.request.sampling.top_k;
  out["seed"] = x.request.sampling.seed;
  out["ignore_eos"] = x.request.ignore_eos;
  if (x.request.priority != 0)
    out["priority"] = x.request.priority;
  if (x.request.grammar.kind == grammar_kind::regex)
    out["regex"] = x.request.grammar.text;
  if (x.arrival.count() > 0)
    out["arrival"] = render_duration(x.arrival);
  if (x.cancel_after_tokens)
    out["cancel_after"] = *x.cancel_after_tokens;
  else if (x.cancel_after)
    out["cancel_after"] = render_duration(*x.cancel_after);
  return out.dump() + "\n";
}

// -- loads --------------------------------------------------------------------

std::optional<uint32_t> number(std::string_view text) {
  uint32_t out = 0;
  auto end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, out);
  if (error != std::errc{} || at != end)
    return std::nullopt;
  return out;
}

/// "16" or "16-256".
bool read_range(std::string_view text, uint32_t& least, uint32_t& most) {
  auto dash = text.find('-');
  auto first = number(text.substr(0, dash));
  auto last = dash == text.npos ? first : number(text.substr(dash + 1));
  if (!first || !last || *first == 0 || *first > *last || *last > max_prompt)
    return false;
  least = *first;
  most = *last;
  return true;
}

bool read_number(std::string_view text, uint32_t most, uint32_t& out) {
  auto x = number(text);
  if (!x || *x == 0 || *x > most)
    return false;
  out = *x;
  return true;
}

/// What is wrong with one part of a load, if anything.
std::string read_part(std::string_view key, std::string_view value,
                      load_spec& out) {
  const std::string range = " must be a number or a range such as 16-256, "
                            "from 1 to 1048576";
  if (key == "prompt")
    return read_range(value, out.least_prompt, out.most_prompt) ? "" : range;
  if (key == "output")
    return read_range(value, out.least_output, out.most_output) ? "" : range;
  const std::string count = " must be a whole number from 1 to ";
  if (key == "rate")
    return read_number(value, max_rate, out.rate)
             ? ""
             : count + std::to_string(max_rate) + ", in requests a second";
  if (key != "streams" && key != "requests")
    return " is none of streams, prompt, output, rate and requests";
  auto& to = key == "streams" ? out.streams : out.requests;
  return read_number(value, max_requests, to)
           ? ""
           : count + std::to_string(max_requests);
}

uint32_t draw(random_stream& chance, uint32_t least, uint32_t most) {
  return least + static_cast<uint32_t>(chance.uniform(most - least + 1));
}

} // namespace

result<client_load> parse_requests(std::string_view text,
                                   std::string_view source_name) {
  client_load out;
  for (size_t line = 1; !text.empty(); ++line) {
    auto size = std::min(text.find('\n'), text.size());
    auto row = text.substr(0, size);
    text.remove_prefix(std::min(size + 1, text.size()));
    if (row.find_first_not_of(" \t\r") == row.npos)
      continue;
    auto where = std::string{source_name} + ":" + std::to_string(line);
    if (out.requests.size() == max_requests)
      return invalid(where + ": there are more than "
                     + std::to_string(max_requests) + " requests");
    auto in = field_reader::parse(where, row);
    if (!in)
      return in.why();
    if (in->find("streams") && out.requests.empty())
      read_streams(*in, out);
    else
      out.requests.push_back(read_request(*in));
    if (!in->trouble().empty())
      return invalid(in->trouble());
  }
  if (out.requests.empty())
    return invalid(std::string{source_name} + " has no request");
  return out;
}

result<client_load> read_requests(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_load_bytes);
  if (!text)
    return text.why();
  return parse_requests(*text, path.string());
}

result<load_spec> parse_load(std::string_view text) {
  load_spec out;
  std::vector<std::string_view> seen;
  for (auto part : split_list(text)) {
    auto equals = part.find('=');
    auto key = part.substr(0, equals);
    auto value = equals == part.npos ? "" : part.substr(equals + 1);
    auto why = read_part(key, value, out);
    if (std::find(seen.begin(), seen.end(), key) != seen.end())
      why = " stands twice";
    if (!why.empty())
      return invalid("the load: \"" + std::string{key.substr(0, 64)} + "\""
                     + why);
    seen.push_back(key);
  }
  if (uint64_t{out.streams} * 4 > max_requests && out.requests == 0)
    out.requests = max_requests;
  return out;
}

client_load make_load(const load_spec& spec, uint64_t seed,
                      uint32_t vocab_size) {
  CHECK(vocab_size >= 1);
  random_stream chance{random_stream::mix(seed ^ fnv_1a("load"))};
  client_load out;
  out.streams = spec.streams;
  out.requests.resize(spec.requests ? spec.requests : spec.streams * 4);
  virtual_duration arrival{0};
  for (size_t i = 0; i < out.requests.size(); ++i) {
    auto& x = out.requests[i];
    if (spec.rate > 0)
      arrival += chance.exponential(std::chrono::nanoseconds{
        1'000'000'000 / std::max<uint32_t>(spec.rate, 1)});
    x.arrival = arrival;
    auto& request = x.request;
    request.prompt.resize(draw(chance, spec.least_prompt, spec.most_prompt));
    for (auto& id : request.prompt)
      id = static_cast<int32_t>(chance.uniform(vocab_size));
    request.max_tokens = draw(chance, spec.least_output, spec.most_output);
    request.ignore_eos = true;
    request.sampling.temperature = i % 2 == 0 ? 0.f : 1.f;
    request.sampling.seed = chance.next();
  }
  return out;
}

std::string render(const client_load& load) {
  auto out = "{\"streams\":" + std::to_string(load.streams) + "}\n";
  for (auto& x : load.requests)
    out += render(x);
  return out;
}

} // namespace troupe
