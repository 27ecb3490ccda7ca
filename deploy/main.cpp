#include "deploy/commands.hpp"

int main(int argc, char** argv) {
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
  try { // CLI11 has no other way to say it
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  return status;
}
