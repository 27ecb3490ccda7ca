#include "deploy/api_key_flags.hpp"
#include "deploy/commands.hpp"
#include "deploy/flag_sources.hpp"
#include "deploy/unknown_command.hpp"

#include <iostream>

int main(int argc, char** argv) {
  auto args = troupe::take_arguments(argc, argv);
  CLI::App app{"Serves DeepSeek-V3-class models from a company of actors.",
               "troupe"};
  app.set_version_flag("--version", "troupe " TROUPE_VERSION);
  app.require_subcommand(1);
  int status = 0;
  troupe::add_serve(app, status);
  troupe::add_generate(app, status);
  troupe::add_node(app, status);
  troupe::add_tokenize(app, status);
  troupe::add_model(app, status);
  troupe::add_simulate(app, status);
  troupe::add_bench(app, status);
  troupe::add_trace(app, status);
  troupe::add_picture(app, status);
  troupe::add_top(app, status);
  troupe::add_balance(app, status);
  if (auto why = troupe::unknown_command(app, args)) {
    std::cerr << *why << '\n';
    return 2;
  }
  try { // CLI11 has no other way to say it
    args = troupe::with_flag_sources(app, std::move(args));
    std::vector<std::string> last_first(args.rbegin(), args.rend() - 1);
    app.parse(std::move(last_first));
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  return status;
}
