#include "deploy/answer_queue.hpp"
#include "deploy/chat_template_flag.hpp"
#include "deploy/commands.hpp"
#include "deploy/device_flag.hpp"
#include "deploy/link_flags.hpp"
#include "deploy/model_defaults.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"
#include "runtime/clock.hpp"
#include "runtime/text/chat.hpp"
#include "runtime/text/detokenizer.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>

namespace troupe {

namespace {

struct generate_flags {
  cluster_flags cluster;
  std::string prompt;
  std::vector<int32_t> token_ids;
  bool chat = false;
  std::string chat_template{auto_chat_template};
  bool json = false;
  generation_request request;
};

struct timings {
  clock::instant start, ready, first, end;
};

double seconds(clock::instant from, clock::instant to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Models that are only data may lack a tokenizer; ids need none.
result<std::optional<tokenizer>> load_tokenizer(const generate_flags& flags,
                                                const running_company& x) {
  auto path = x.model_dir / "tokenizer.json";
  if (!flags.token_ids.empty() && !std::filesystem::exists(path))
    return std::optional<tokenizer>{};
  auto tokens = tokenizer::load(path);
  if (!tokens)
    return tokens.why();
  return std::optional{std::move(*tokens)};
}

struct prompt_parts {
  std::vector<int32_t> ids;
  std::vector<prompt_segment> segments = {};
  bool in_thought = false; ///< It ends within one.
};

result<prompt_parts> make_prompt(const generate_flags& flags,
                                 const running_company& x,
                                 const std::optional<tokenizer>& tokens) {
  if (!flags.token_ids.empty())
    return prompt_parts{flags.token_ids};
  auto defaults = read_model_defaults(x.model_dir, x.config, *tokens);
  if (!defaults)
    return defaults.why();
  if (flags.chat) {
    auto form = chat_form::load(x.model_dir, *tokens, flags.chat_template);
    if (!form)
      return form.why();
    chat_message message{chat_role::user, flags.prompt, {}};
    auto rendered = form->render({&message, 1}, {}, *tokens);
    if (!rendered)
      return rendered.why();
    return prompt_parts{std::move(rendered->ids), std::move(rendered->segments),
                        rendered->in_thought};
  }
  auto ids = tokens->encode(flags.prompt, specials::recognised);
  if (defaults->first_id)
    ids.insert(ids.begin(), *defaults->first_id);
  return prompt_parts{std::move(ids)};
}

/// Prints text as it becomes certain.
class text_printer {
public:
  /// `in_thought`: the prompt has begun a thought, of which the answer has only
  /// the end; its beginning is printed, too.
  text_printer(const std::optional<tokenizer>& tokens, bool silent,
               bool in_thought) {
    if (!tokens || silent)
      return;
    text_.emplace(*tokens, true);
    if (in_thought)
      put("<think>\n");
  }

  void print(const std::vector<int32_t>& ids) {
    for (auto id : ids)
      if (text_)
        put(text_->push(id));
  }

  void finish() {
    if (text_)
      put(text_->finish() + "\n");
  }

private:
  static void put(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  std::optional<detokenizer> text_;
};

void print_json(const std::vector<int32_t>& prompt,
                const std::vector<int32_t>& ids,
                const std::optional<tokenizer>& tokens, finish_reason finish,
                const timings& at) {
  auto decoding = seconds(at.first, at.end);
  auto steps = ids.empty() ? 0.0 : double(ids.size() - 1);
  nlohmann::ordered_json out{
    {"prompt_token_ids", prompt},
    {"token_ids", ids},
    {"text", tokens ? tokens->decode(ids, true) : ""},
    {"finish_reason", finish == finish_reason::stop ? "stop" : "length"},
    {"timings",
     {{"load_seconds", seconds(at.start, at.ready)},
      {"first_token_seconds", seconds(at.ready, at.first)},
      {"decode_seconds", decoding},
      {"tokens_per_second", decoding > 0 ? steps / decoding : 0.0}}}};
  std::puts(out.dump().c_str());
}

result<void> generate(const generate_flags& flags, running_company& x,
                      const clock& time, timings& at, end_signals& signals) {
  auto tokens = load_tokenizer(flags, x);
  if (!tokens)
    return tokens.why();
  auto prompt = make_prompt(flags, x, *tokens);
  if (!prompt)
    return prompt.why();
  if (auto ready = wait_until_ready(x, &signals); !ready)
    return ready;
  at.ready = at.first = time.now();
  auto request = flags.request;
  request.prompt = prompt->ids;
  request.segments = prompt->segments;
  request.grammar.after_thought = prompt->in_thought;
  auto answers = std::make_shared<answer_queue>();
  auto id = x.serving->submit(request,
                              [answers](auto& event) { answers->push(event); });
  if (!id)
    return id.why();
  text_printer printer{*tokens, flags.json, prompt->in_thought};
  std::vector<int32_t> ids;
  generation_event event;
  while (event.finish == finish_reason::none) {
    auto next = answers->pop(std::chrono::milliseconds{100});
    if (signals.wait_for(std::chrono::milliseconds{0}))
      return failure{errc::cancelled, "ended before the answer was whole"};
    if (!next)
      continue;
    event = std::move(*next);
    if (ids.empty() && !event.tokens.empty())
      at.first = time.now();
    ids.insert(ids.end(), event.tokens.begin(), event.tokens.end());
    printer.print(event.tokens);
  }
  at.end = time.now();
  printer.finish();
  if (event.finish == finish_reason::failed)
    return event.cause.value_or(failure{errc::step_failed, "no cause given"});
  if (flags.json)
    print_json(prompt->ids, ids, *tokens, event.finish, at);
  return {};
}

int run(const generate_flags& flags) {
  end_signals signals;
  system_clock time;
  timings at;
  at.start = time.now();
  if (flags.token_ids.empty() == flags.prompt.empty()) {
    std::fputs("troupe: either --prompt or --token-ids is required\n", stderr);
    return 2;
  }
  auto x = start_company(flags.cluster);
  if (!x)
    return report(x.why());
  auto ok = generate(flags, *x, time, at, signals);
  auto ended = end_company(*x);
  if (ok)
    ok = ended;
  return ok ? 0 : report(ok.why());
}

void add_sampling(CLI::App& command, generation_request& request) {
  auto& how = request.sampling;
  command.add_option("--seed", how.seed);
  command.add_option("--min-p", how.min_p, "0: all")
    ->check(CLI::Range(0.0, 1.0));
  command.add_option("--repetition-penalty", how.repetition_penalty, "1: none")
    ->check(CLI::Range(0.01, 100.0));
  command.add_option("--presence-penalty", how.presence_penalty, "0: none")
    ->check(CLI::Range(-2.0, 2.0));
  command.add_option("--frequency-penalty", how.frequency_penalty, "0: none")
    ->check(CLI::Range(-2.0, 2.0));
  command.add_option("--min-tokens", request.min_tokens,
                     "Before so many nothing ends the answer (0)");
  command
    .add_option("--stop-token-ids", request.stop_ids,
                "They end the answer, separated by commas")
    ->delimiter(',');
}

void add_grammars(CLI::App& command, generation_request& request) {
  auto set = [&request](grammar_kind kind) {
    return [&request, kind](const std::string& text) {
      request.grammar = {kind, text};
    };
  };
  auto regex = command.add_option_function<std::string>(
    "--regex", set(grammar_kind::regex), "What the answer's text has to be");
  command
    .add_option_function<std::string>("--json-schema",
                                      set(grammar_kind::json_schema),
                                      "Likewise: JSON by this schema")
    ->excludes(regex);
}

} // namespace

void add_generate(CLI::App& app, int& status) {
  auto flags = std::make_shared<generate_flags>();
  auto command = app.add_subcommand("generate", "One answer without a server");
  flags->cluster.add_to(*command);
  add_micro_batches(*command, flags->cluster.micro_batches);
  add_device(*command, flags->cluster.device);
  flags->cluster.kv_cache.add_to(*command);
  add_emulated_links(*command, flags->cluster.links);
  add_trace_file(*command, flags->cluster.trace_file);
  auto& request = flags->request;
  request.sampling.temperature = 0;
  request.max_tokens = 256;
  command->add_option("-p,--prompt", flags->prompt, "Text to continue");
  command
    ->add_option("--token-ids", flags->token_ids,
                 "Prompt as ids, separated by commas")
    ->delimiter(',');
  command->add_flag("--chat", flags->chat,
                    "The prompt is a message; the model answers it");
  add_chat_template(*command, flags->chat_template);
  command->add_option("--max-tokens", request.max_tokens, "At most (256)");
  command
    ->add_option("--temperature", request.sampling.temperature,
                 "0, the default, is greedy")
    ->check(CLI::Range(0.0, 100.0));
  command->add_option("--top-p", request.sampling.top_p)
    ->check(CLI::Range(0.0, 1.0));
  command->add_option("--top-k", request.sampling.top_k, "0: all");
  add_sampling(*command, request);
  add_grammars(*command, request);
  command->add_flag("--ignore-eos", request.ignore_eos,
                    "Go on past the end token");
  command->add_flag("--json", flags->json,
                    "Ids of prompt and answer, text and timings as JSON");
  command->callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
