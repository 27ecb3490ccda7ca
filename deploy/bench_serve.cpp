#include "deploy/bench_serve.hpp"

#include "deploy/bench_serve_report.hpp"
#include "deploy/client_key.hpp"
#include "deploy/end_signals.hpp"
#include "deploy/report.hpp"
#include "runtime/bench/load_picture.hpp"
#include "runtime/bench/load_run.hpp"
#include "runtime/checkpoint/output_file.hpp"
#include "runtime/duration.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace troupe {

namespace {

constexpr auto what_to_know_of_bench_serve
  = "Open loop: requests come at their time, at --request-rate or as a --trace "
    "says, however busy the server is, and latency counts from that time. "
    "Closed loop: with --max-concurrency and no rate the next request is sent "
    "when one has ended. The key of the API is taken from --api-key-file, "
    "TROUPE_API_KEY or OPENAI_API_KEY. Without --vocab-size prompts are words, "
    "of which two questions at the start find out how many tokens they are. "
    "The exit status is 1 if a request has failed.";

/// Words of the two questions.
constexpr auto few_words = bench::prompt_writer::num_words,
               more_words = 3 * few_words;

struct serve_bench_flags {
  std::string url = "http://127.0.0.1:8000";
  std::string backend = "openai";
  std::string model;
  std::string key_file;
  std::string authorities;
  bool trust_anybody = false;
  size_t num_prompts = 1000;
  double rate = bench::plan_options::at_once;
  double burstiness = 1;
  size_t max_concurrency = 0;
  std::string input = "1024", output = "128";
  uint32_t shared_prefix = 0;
  uint32_t vocab_size = 0;
  bool ignore_eos = false;
  std::string extra;
  std::string trace;
  double trace_speed = 1;
  uint32_t max_input = bench::max_length, max_output = bench::max_length;
  double max_seconds = 0;
  std::string timeout = "600s";
  std::string goodput;
  uint64_t seed = 0;
  std::string json;
  std::string svg;
  bool quiet = false;
};

/// What the flags say, once they are understood.
struct serve_bench {
  http::client_options client;
  bench::load_run_options run;
  std::vector<bench::planned_request> plan;
  bench::goodput_limits limits;
  serve_bench_setting setting;
};

// -- reading ------------------------------------------------------------------

result<void> read_plan(const serve_bench_flags& flags, serve_bench& to) {
  if (!flags.trace.empty()) {
    auto load = bench::read_trace(flags.trace,
                                  {flags.num_prompts, flags.trace_speed,
                                   flags.max_input, flags.max_output});
    if (!load)
      return load.why();
    to.plan = std::move(load->requests);
    to.setting.num_shortened = load->num_shortened;
    return {};
  }
  auto input = bench::length_law::parse(flags.input);
  if (!input)
    return input.why();
  auto output = bench::length_law::parse(flags.output);
  if (!output)
    return output.why();
  to.plan
    = bench::plan_load({flags.num_prompts, flags.rate, flags.burstiness, *input,
                        *output, flags.shared_prefix, flags.seed});
  to.run.is_closed = flags.max_concurrency > 0 && std::isinf(flags.rate);
  return {};
}

result<void> read_form(const serve_bench_flags& flags, serve_bench& to) {
  auto key = read_client_key(flags.key_file);
  if (!key)
    return key.why();
  if (auto why = bench::wrong_extra(flags.extra); !why.empty())
    return failure{errc::invalid_input, why};
  auto is_chat = flags.backend == "openai-chat";
  if (is_chat && flags.vocab_size > 0)
    return failure{errc::invalid_input,
                   "a chat's messages cannot be ids: leave --vocab-size out"};
  to.run.form = {is_chat ? bench::endpoint::chat : bench::endpoint::text,
                 flags.model,
                 *key,
                 flags.vocab_size,
                 flags.ignore_eos,
                 flags.extra};
  return {};
}

result<serve_bench> read_flags(const serve_bench_flags& flags) {
  serve_bench out;
  auto server = http::parse_web_address(flags.url);
  if (!server)
    return server.why();
  if (server->path.ends_with("/v1")) // as OpenAI's clients are told it
    server->path.resize(server->path.size() - 3);
  auto timeout = parse_duration(flags.timeout);
  if (!timeout)
    return failure{errc::invalid_input,
                   "--timeout " + std::string{duration_form}};
  using millis = std::chrono::milliseconds;
  out.client = {*server, flags.authorities, flags.trust_anybody,
                std::chrono::duration_cast<millis>(*timeout)};
  if (!flags.goodput.empty()) {
    auto limits = bench::goodput_limits::parse(flags.goodput);
    if (!limits)
      return limits.why();
    out.limits = *limits;
  }
  if (auto ok = read_form(flags, out); !ok)
    return ok.why();
  if (auto ok = read_plan(flags, out); !ok)
    return ok.why();
  out.run.max_running = flags.max_concurrency;
  if (flags.max_seconds > 0)
    out.run.no_more_after
      = bench::nanoseconds{std::llround(flags.max_seconds * 1e9)};
  auto& setting = out.setting;
  setting.url = flags.url + (flags.backend == "openai-chat" ? " (chat)" : "");
  setting.model = flags.model;
  setting.request_rate = flags.rate;
  setting.max_concurrency = flags.max_concurrency;
  setting.seed = flags.seed;
  setting.trace = flags.trace;
  setting.goodput = flags.goodput;
  return out;
}

// -- running ------------------------------------------------------------------

/// Asks two small questions: whether there is an answer at all, and how many
/// tokens words are.
result<bench::word_measure> probe(const serve_bench& what, const clock& time,
                                  end_signals& signals) {
  auto client = http::client::open(what.client, time);
  if (!client)
    return client.why();
  auto how = what.run;
  how.max_running = 1;
  how.is_closed = true;
  bench::load_run run{**client,
                      time,
                      how,
                      {{{}, few_words, 1}, {{}, more_words, 1}},
                      bench::prompt_writer::of_each_word()};
  run.run([&](auto&) { return !signals.wait_for({}); });
  auto& seen = run.records();
  for (auto& x : seen)
    if (!x.ok())
      return failure{errc::io,
                     what.setting.url + ": " + x.error + ": " + x.why};
  if (seen.size() < 2)
    return failure{errc::cancelled, "interrupted"};
  if (what.run.form.vocab_size > 0 || !seen[1].is_counted)
    return bench::word_measure{};
  return bench::word_measure::from(few_words, seen[0].prompt_tokens, more_words,
                                   seen[1].prompt_tokens);
}

/// A line that is drawn over itself on a terminal, else one every ten seconds.
class progress_line {
public:
  explicit progress_line(bool quiet)
    : quiet_(quiet), is_terminal_(::isatty(STDERR_FILENO) == 1) {
  }

  void show(const bench::load_progress& x) {
    auto seconds = double(x.time.count()) * 1e-9;
    if (quiet_ || seconds < next_)
      return;
    auto rate = double(x.pieces - pieces_) / std::max(seconds - last_, 1e-3);
    std::fprintf(stderr,
                 "%s%.0f s: %zu of %zu requests ended (%zu failed), %zu "
                 "running, %.0f tok/s%s",
                 is_terminal_ ? "\r\033[K" : "", seconds, x.ended, x.total,
                 x.failed, x.running, rate, is_terminal_ ? "" : "\n");
    std::fflush(stderr);
    last_ = seconds;
    next_ = seconds + (is_terminal_ ? 0.5 : 10);
    pieces_ = x.pieces;
  }

  void end() {
    if (!quiet_ && is_terminal_)
      std::fputs("\r\033[K", stderr);
  }

private:
  const bool quiet_;
  const bool is_terminal_;
  double last_ = 0;
  double next_ = 0.5;
  uint64_t pieces_ = 0;
};

result<void> put(const std::string& where, const std::string& text) {
  if (where != "-")
    return write_file(where, text);
  std::fputs(text.c_str(), stdout);
  return {};
}

result<void> tell(const serve_bench_flags& flags, const serve_bench& what,
                  const bench::load_run& run, const bench::load_summary& sum) {
  if (flags.json != "-")
    std::fputs(serve_bench_table(what.setting, sum).c_str(), stdout);
  if (!flags.json.empty())
    if (auto ok = put(flags.json, serve_bench_json(what.setting, sum)); !ok)
      return ok;
  if (flags.svg.empty())
    return {};
  auto title = what.setting.model + ", " + what.setting.url + ": "
               + std::to_string(sum.completed) + " requests";
  return put(flags.svg, bench::draw_load(run.records(), title));
}

/// As many descriptors as the system gives.
void take_descriptors() {
  rlimit most{};
  if (::getrlimit(RLIMIT_NOFILE, &most) != 0)
    return;
  most.rlim_cur = most.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &most);
}

int run(const serve_bench_flags& flags) {
  end_signals signals;
  system_clock time;
  take_descriptors();
  auto what = read_flags(flags);
  if (!what)
    return report(what.why());
  auto measure = probe(*what, time, signals);
  if (!measure)
    return report(measure.why());
  auto client = http::client::open(what->client, time);
  if (!client)
    return report(client.why());
  bench::load_run run{**client,
                      time,
                      what->run,
                      what->plan,
                      {flags.seed, flags.shared_prefix, *measure}};
  progress_line line{flags.quiet};
  run.run([&](auto& progress) {
    line.show(progress);
    return !signals.wait_for({});
  });
  line.end();
  auto sum = bench::summarise(run.records(), what->limits, run.late_loop());
  if (auto ok = tell(flags, *what, run, sum); !ok)
    return report(ok.why());
  return sum.failed == 0 && sum.completed > 0 ? 0 : 1;
}

// -- flags --------------------------------------------------------------------

void add_target(CLI::App& command, serve_bench_flags& flags) {
  command
    .add_option("--url,--base-url", flags.url,
                "Server: http(s)://HOST[:PORT][/PATH], with or without /v1")
    ->capture_default_str();
  command
    .add_option("--backend", flags.backend,
                "openai: /v1/completions; openai-chat: /v1/chat/completions")
    ->capture_default_str()
    ->check(CLI::IsMember({"openai", "openai-chat"}));
  command.add_option("--model", flags.model, "Name that requests give")
    ->required();
  command.add_option("--api-key-file", flags.key_file,
                     "The API's key is its first line; nobody else may read "
                     "it");
  command.add_option("--ssl-ca-certs", flags.authorities,
                     "Whom to trust (PEM; default: the system's)");
  command.add_flag("--insecure", flags.trust_anybody,
                   "Do not check the server's certificate");
  command
    .add_option("--timeout", flags.timeout, "After which a request has failed")
    ->capture_default_str();
}

void add_load(CLI::App& command, serve_bench_flags& flags) {
  command
    .add_option("--num-prompts", flags.num_prompts,
                "Requests; of a trace the first")
    ->capture_default_str()
    ->check(CLI::Range(1, 1 << 22));
  auto rate = command
                .add_option("--request-rate", flags.rate,
                            "Arrivals a second, at random; inf: all at once")
                ->capture_default_str()
                ->check(CLI::PositiveNumber);
  command
    .add_option(
      "--burstiness", flags.burstiness,
      "Shape of the gamma law of gaps: 1 is Poisson, less is burstier")
    ->capture_default_str()
    ->check(CLI::Range(0.01, 1000.0));
  command
    .add_option("--max-concurrency", flags.max_concurrency,
                "Requests that run at once; without a rate a closed loop")
    ->check(CLI::Range(1, 1'000'000));
  command
    .add_option("--max-seconds", flags.max_seconds,
                "After which no request is sent any more")
    ->check(CLI::Range(0.1, 1e7));
  command.add_option("--seed", flags.seed, "Of arrivals, lengths and prompts")
    ->capture_default_str();
  command
    .add_option("--trace", flags.trace,
                "CSV with t_ms, input_tokens, output_tokens: their times and "
                "lengths instead of drawn ones")
    ->excludes(rate);
  command
    .add_option("--trace-speed", flags.trace_speed,
                "2: its requests come twice as fast")
    ->capture_default_str()
    ->check(CLI::Range(1e-3, 1e6));
  for (auto& [name, to] : {std::pair{"--max-input-len", &flags.max_input},
                           std::pair{"--max-output-len", &flags.max_output}})
    command.add_option(name, *to, "Longer ones of a trace are as long as that")
      ->check(CLI::Range(1u, bench::max_length));
}

void add_requests(CLI::App& command, serve_bench_flags& flags) {
  command
    .add_option("--random-input-len", flags.input,
                "Tokens of a prompt: 512, 100-900 or lognormal:512,0.8 (median "
                "and sigma)")
    ->capture_default_str();
  command
    .add_option("--random-output-len", flags.output,
                "max_tokens of a request, likewise")
    ->capture_default_str();
  command
    .add_option("--random-prefix-len", flags.shared_prefix,
                "Tokens before them that all prompts share")
    ->capture_default_str()
    ->check(CLI::Range(0u, bench::max_length));
  command
    .add_option("--vocab-size", flags.vocab_size,
                "Prompts are ids of the middle half of so many, not words")
    ->check(CLI::Range(4, 1 << 24));
  command.add_flag("--ignore-eos", flags.ignore_eos,
                   "Answers are as long as they may be");
  command.add_option("--extra-body", flags.extra,
                     "JSON object whose fields requests have as well");
}

void add_results(CLI::App& command, serve_bench_flags& flags) {
  command.add_option("--goodput", flags.goodput,
                     "What a good request keeps: ttft:500ms,tpot:50ms (e2el)");
  command.add_option("--json", flags.json,
                     "Where to write the figures as JSON; - instead of the "
                     "table");
  command.add_option("--svg", flags.svg,
                     "Where to draw latencies and the course of time");
  command.add_flag("--disable-progress", flags.quiet,
                   "No word on standard error meanwhile");
}

} // namespace

void add_bench_serve(CLI::App& bench, int& status) {
  auto flags = std::make_shared<serve_bench_flags>();
  auto& command = *bench.add_subcommand(
    "serve", "Latency and throughput of an OpenAI endpoint under a load");
  command.footer(what_to_know_of_bench_serve);
  add_target(command, *flags);
  add_load(command, *flags);
  add_requests(command, *flags);
  add_results(command, *flags);
  command.callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
