#include "deploy/api_key_flags.hpp"
#include "deploy/commands.hpp"
#include "deploy/model_defaults.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"
#include "runtime/clock.hpp"
#include "runtime/entropy.hpp"
#include "runtime/http/openai_api.hpp"
#include "runtime/http/server.hpp"

#include <cstdio>
#include <ctime>

namespace troupe {

namespace {

struct serve_flags {
  cluster_flags cluster;
  http::server_options server;
  std::string model_name;
  api_key_flags keys;
};

/// Everything behind the listening socket, in the order of its dependence.
struct front {
  tokenizer tokens;
  std::unique_ptr<http::openai_api> api;
  std::unique_ptr<http::server> server;
};

result<std::unique_ptr<front>>
open_front(const serve_flags& flags, running_company& x, const clock& time,
           entropy& chance, std::vector<std::string> keys) {
  auto tokens = tokenizer::load(x.model_dir / "tokenizer.json");
  if (!tokens)
    return tokens.why();
  auto out = std::make_unique<front>(front{std::move(*tokens), {}, {}});
  auto form = chat_form::load(x.model_dir, out->tokens);
  if (!form)
    return form.why();
  auto defaults = read_model_defaults(x.model_dir);
  if (!defaults)
    return defaults.why();
  http::openai_options options;
  options.model = flags.model_name.empty() ? x.model_dir.filename().string()
                                           : flags.model_name;
  options.keys = std::move(keys);
  options.add_bos = defaults->add_bos;
  options.defaults = {defaults->sampling.temperature, defaults->sampling.top_p,
                      defaults->sampling.top_k};
  http::openai_sources sources{[&time] { return time.now(); },
                               [] { return int64_t{std::time(nullptr)}; },
                               [&chance] { return chance.draw(); }};
  out->api = std::make_unique<http::openai_api>(
    *x.serving, out->tokens, std::move(*form), options, sources);
  auto server = http::server::start(flags.server, *out->api,
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
      log.error(std::to_string(now) + " local node processes have ended");
    num_ended = now;
  }
  return {};
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
  auto address = flags.server.address + ":"
                 + std::to_string((*front)->server->port());
  if (x->serving->address().port != 0)
    log.info("nodes join at " + x->serving->address().host + ":"
             + std::to_string(x->serving->address().port));
  if (auto ready = wait_until_ready(*x, signals); !ready)
    return ready.why().code == errc::cancelled ? 0 : report(ready.why());
  auto info = x->serving->info();
  std::fprintf(stderr,
               "ready at http://%s: %u nodes, %u ranks, %u workers, context "
               "of %u tokens\n",
               address.c_str(), info.num_nodes, info.num_ranks,
               info.num_workers, info.max_model_len);
  auto ended = stay_up(*x, signals, log);
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
  command->callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
