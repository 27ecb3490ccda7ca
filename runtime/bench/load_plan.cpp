#include "runtime/bench/load_plan.hpp"

#include "runtime/checkpoint/regular_file.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace troupe::bench {

namespace {

constexpr uint64_t max_file_bytes = 256 << 20;
constexpr size_t max_requests = 1 << 22;
constexpr double longest = 1e7; ///< s; that a trace may last.

/// Which numbers are drawn for what.
enum purpose : uint32_t { gaps = 1, prompts = 2, outputs = 3 };

nanoseconds from_seconds(double x) {
  return nanoseconds{std::llround(x * 1e9)};
}

/// A row's values by the places of their columns.
using cells = std::vector<std::string_view>;

cells split(std::string_view line) {
  cells out;
  for (;;) {
    auto comma = line.find(',');
    out.push_back(line.substr(0, comma));
    if (comma == line.npos)
      return out;
    line.remove_prefix(comma + 1);
  }
}

/// Which columns hold what.
class trace_columns {
public:
  static std::optional<trace_columns> find(const cells& names) {
    trace_columns out;
    auto place = [&](std::string_view name) {
      return size_t(std::ranges::find(names, name) - names.begin());
    };
    out.time_ = place("t_ms");
    out.prompt_ = place("input_tokens");
    out.outputs_ = {place("output_tokens")};
    if (out.outputs_[0] == names.size())
      out.outputs_ = {place("reason_tokens"), place("answer_tokens")};
    auto most = std::max({out.time_, out.prompt_, out.outputs_.back()});
    if (most >= names.size() || out.outputs_.front() >= names.size())
      return std::nullopt;
    out.count_ = names.size();
    return out;
  }

  /// Nothing: they are no request.
  std::optional<planned_request> read(const cells& row) const {
    double time = 0, output = 0;
    auto prompt = number(row, prompt_);
    for (auto i : outputs_)
      output += number(row, i);
    time = number(row, time_);
    if (row.size() != count_ || !(time >= 0 && time <= longest * 1e3)
        || !(prompt >= 0 && prompt <= max_length)
        || !(output >= 0 && output <= max_length))
      return std::nullopt;
    return planned_request{from_seconds(time * 1e-3),
                           std::max(uint32_t(prompt), 1u),
                           std::max(uint32_t(output), 1u)};
  }

private:
  /// -1: none.
  static double number(const cells& row, size_t i) {
    double out = -1;
    if (i >= row.size())
      return out;
    auto end = row[i].data() + row[i].size();
    auto [stop, ec] = std::from_chars(row[i].data(), end, out);
    return ec == std::errc{} && stop == end ? out : -1;
  }

  size_t time_ = 0;
  size_t prompt_ = 0;
  std::vector<size_t> outputs_;
  size_t count_ = 0;
};

failure bad_line(std::string_view name, size_t line, const char* why) {
  return {errc::invalid_input,
          std::string{name} + ", line " + std::to_string(line) + ": " + why};
}

std::string_view next_line(std::string_view& text) {
  auto end = text.find('\n');
  auto line = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  if (line.ends_with('\r'))
    line.remove_suffix(1);
  return line;
}

/// Times count from the first, and all lengths are within the limits.
trace_load finish(std::vector<planned_request> all,
                  const trace_options& options) {
  std::ranges::stable_sort(all, {}, &planned_request::arrival);
  trace_load out;
  auto first = all.empty() ? nanoseconds{0} : all.front().arrival;
  all.resize(std::min(all.size(), options.max_requests));
  for (auto& x : all) {
    auto since = double((x.arrival - first).count()) * 1e-9;
    planned_request cut{from_seconds(since / options.speed),
                        std::min(x.prompt_tokens, options.max_prompt),
                        std::min(x.output_tokens, options.max_output)};
    out.num_shortened += cut.prompt_tokens != x.prompt_tokens
                         || cut.output_tokens != x.output_tokens;
    out.requests.push_back(cut);
  }
  return out;
}

} // namespace

std::vector<planned_request> plan_load(const plan_options& options) {
  chance gap{options.seed, gaps}, prompt{options.seed, prompts},
    output{options.seed, outputs};
  std::vector<planned_request> out;
  double time = 0;
  for (size_t i = 0; i < options.num_requests; ++i) {
    if (i > 0 && options.rate != plan_options::at_once)
      time += gap.gamma(options.burstiness) / options.rate;
    out.push_back({from_seconds(time),
                   options.prompt.draw(prompt) + options.shared_prefix,
                   options.output.draw(output)});
  }
  return out;
}

result<trace_load> parse_trace(std::string_view text, std::string_view name,
                               const trace_options& options) {
  std::optional<trace_columns> columns;
  std::vector<planned_request> all;
  for (size_t number = 1; !text.empty(); ++number) {
    auto line = next_line(text);
    if (line.empty() || line.starts_with('#'))
      continue;
    if (!columns) {
      columns = trace_columns::find(split(line));
      if (!columns)
        return bad_line(name, number,
                        "a trace needs columns t_ms, input_tokens and "
                        "output_tokens");
      continue;
    }
    auto x = columns->read(split(line));
    if (!x)
      return bad_line(name, number, "is no request");
    if (all.size() == max_requests)
      return bad_line(name, number, "has too many requests before it");
    all.push_back(*x);
  }
  if (all.empty())
    return failure{errc::invalid_input,
                   std::string{name} + " holds no request"};
  return finish(std::move(all), options);
}

result<trace_load> read_trace(const std::filesystem::path& path,
                              const trace_options& options) {
  auto text = read_regular_file(path, max_file_bytes);
  if (!text)
    return text.why();
  return parse_trace(*text, path.string(), options);
}

} // namespace troupe::bench
