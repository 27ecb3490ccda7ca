#include "deploy/api_key_flags.hpp"
#include "deploy/chat_template_flag.hpp"
#include "deploy/commands.hpp"
#include "deploy/model_defaults.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"
#include "runtime/clock.hpp"
#include "runtime/entropy.hpp"
#include "runtime/http/openai_api.hpp"
#include "runtime/http/server.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include <sys/resource.h>

namespace troupe {

namespace {

/// For clients to take the ends of their answers.
constexpr std::chrono::seconds last_words{5};

struct serve_flags {
  cluster_flags cluster;
  http::server_options server;
  std::string model_name;
  api_key_flags keys;
  std::string chat_template{auto_chat_template};
};

/// Everything behind the listening socket, in the order of its dependence.
struct front {
  tokenizer tokens;
  std::unique_ptr<http::openai_api> api;
  std::unique_ptr<http::server> server;
};

/// Takes as many descriptors as the system gives, and leaves half of them to
/// nodes, weights and files, whoever connects.
void share_descriptors(http::server_options& server) {
  rlimit most{};
  if (::getrlimit(RLIMIT_NOFILE, &most) != 0)
    return;
  most.rlim_cur = most.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &most);
  ::getrlimit(RLIMIT_NOFILE, &most);
  auto& limit = server.limits.max_connections;
  limit = std::min<size_t>(limit, most.rlim_cur / 2);
}

result<std::unique_ptr<front>>
open_front(const serve_flags& flags, running_company& x, const clock& time,
           entropy& chance, std::vector<std::string> keys) {
  auto tokens = tokenizer::load(x.model_dir / "tokenizer.json");
  if (!tokens)
    return tokens.why();
  auto out = std::make_unique<front>(front{std::move(*tokens), {}, {}});
  auto form = chat_form::load(x.model_dir, out->tokens, flags.chat_template);
  if (!form)
    return form.why();
  std::fprintf(stderr, "%s: %s\n",
               form->trouble().empty() ? "chat template" : "chats are refused",
               form->describe().c_str());
  auto defaults = read_model_defaults(x.model_dir, x.config, out->tokens);
  if (!defaults)
    return defaults.why();
  http::openai_options options;
  options.model = flags.model_name.empty() ? x.model_dir.filename().string()
                                           : flags.model_name;
  options.keys = std::move(keys);
  options.add_bos = defaults->first_id.has_value();
  options.defaults = {defaults->sampling.temperature, defaults->sampling.top_p,
                      defaults->sampling.top_k};
  http::openai_sources sources{[&time] { return time.now(); },
                               [] { return int64_t{std::time(nullptr)}; },
                               [&chance] { return chance.draw(); }};
  out->api = std::make_unique<http::openai_api>(
    *x.serving, out->tokens, std::move(*form), options, sources);
  auto listening = flags.server;
  share_descriptors(listening);
  auto server = http::server::start(listening, *out->api,
                                    logger{"http", flags.cluster.level()});
  if (!server)
    return server.why();
  out->server = std::move(*server);
  return out;
}

/// Returns when a signal asks to end, or why it cannot go on.
result<void> stay_up(running_company& x, end_signals& signals,
                     const logger& log) {
  size_t num_ended = 0;
  while (!signals.wait_for(std::chrono::milliseconds{200})) {
    if (auto cause = x.serving->over())
      return *cause;
    auto now = x.nodes ? x.nodes->num_ended() : 0;
    if (now != num_ended)
      log.error("local node processes that have ended: " + std::to_string(now));
    num_ended = now;
  }
  return {};
}

/// From the first connection to the reason to end: none if a signal asked.
result<void> serve_until_end(const front& in, running_company& x,
                             const std::string& address, end_signals& signals,
                             const logger& log) {
  if (auto at = x.serving->address(); at.port != 0)
    log.info("nodes join at " + at.host + ":" + std::to_string(at.port));
  if (auto ready = wait_until_ready(x, signals); !ready)
    return ready.why().code == errc::cancelled ? result<void>{} : ready;
  auto info = x.serving->info();
  std::fprintf(stderr,
               "ready at http://%s:%u: %u nodes, %u ranks, %u workers, context "
               "of %u tokens\n",
               address.c_str(), in.server->port(), info.num_nodes,
               info.num_ranks, info.num_workers, info.max_model_len);
  return stay_up(x, signals, log);
}

/// Whoever waits hears how it ends, and has it, before anything goes.
void end(const front& in, running_company& x, const result<void>& why,
         const logger& log) {
  x.serving->close(why ? failure{errc::cancelled, "the server is shutting down"}
                       : why.why());
  if (!in.server->finish(last_words))
    log.warning("not every client has taken the end of its answer");
}

int run(const serve_flags& flags) {
  end_signals signals;
  system_clock time;
  system_entropy chance;
  logger log{"serve", flags.cluster.level()};
  auto keys = flags.keys.read();
  if (!keys)
    return report(keys.why());
  auto x = start_company(flags.cluster);
  if (!x)
    return report(x.why());
  auto front = open_front(flags, *x, time, chance, std::move(*keys));
  if (!front)
    return report(front.why());
  auto ended = serve_until_end(**front, *x, flags.server.address, signals, log);
  end(**front, *x, ended, log);
  return ended ? 0 : report(ended.why());
}

} // namespace

void add_serve(CLI::App& app, int& status) {
  auto flags = std::make_shared<serve_flags>();
  auto command = app.add_subcommand(
    "serve", "OpenAI's HTTP interface in front of a company of actors");
  flags->cluster.add_to(*command);
  flags->server.port = 8000;
  command->add_option("--host", flags->server.address,
                      "Address to listen at (127.0.0.1)");
  command->add_option("--port", flags->server.port, "0: any that is free");
  command->add_option("--served-model-name", flags->model_name,
                      "Name that requests give (the directory's)");
  flags->keys.add_to(*command);
  add_chat_template(*command, flags->chat_template);
  command->callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
