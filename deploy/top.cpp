#include "deploy/commands.hpp"
#include "deploy/end_signals.hpp"
#include "deploy/report.hpp"
#include "deploy/server_answer.hpp"
#include "deploy/top_view.hpp"
#include "runtime/duration.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace troupe {

namespace {

struct top_flags {
  server_flags server;
  std::string interval = "1s";
  bool once = false;
};

struct extent {
  size_t lines = 0;
  size_t width = 0;
};

/// Of the terminal; without one all is shown.
extent room() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0)
    return {100'000, 1'000};
  return {size_t{size.ws_row} - 1, size.ws_col};
}

/// Over what was there before, if that can be.
void draw(const top_view& view, bool over) {
  auto [num_lines, width] = room();
  std::string out = over ? "\x1b[H" : "";
  for (auto& line : view.lines(num_lines, width))
    out += line + (over ? "\x1b[K\n" : "\n");
  if (over)
    out += "\x1b[J";
  std::fputs(out.c_str(), stdout);
  std::fflush(stdout);
}

int run(const top_flags& flags) {
  auto server = find_server(flags.server);
  if (!server)
    return report(server.why());
  auto interval = parse_duration(flags.interval);
  if (!interval || interval->count() == 0)
    return report(
      {errc::invalid_input, "--interval " + std::string{duration_form}});
  end_signals signals;
  system_clock time;
  auto pause = std::chrono::ceil<std::chrono::milliseconds>(*interval);
  auto is_screen = isatty(STDOUT_FILENO) != 0 && !flags.once;
  top_view view;
  auto last = time.now();
  for (uint64_t i = 0;; ++i) {
    auto answer = ask_server(*server, "/cluster", time);
    if (!answer)
      return report(answer.why());
    auto now = time.now();
    std::chrono::duration<double> passed = now - std::exchange(last, now);
    if (auto ok = view.take(*answer, passed.count()); !ok)
      return report(ok.why());
    if (is_screen || i > 0)
      draw(view, is_screen);
    if ((flags.once && i > 0) || signals.wait_for(pause))
      return 0;
  }
}

} // namespace

void add_top(CLI::App& app, int& status) {
  auto flags = std::make_shared<top_flags>();
  auto command = app.add_subcommand(
    "top", "Shows what a running cluster does: nodes, ranks, workers, layers");
  flags->server.add_to(*command);
  command
    ->add_option("--interval", flags->interval, "Between two looks (500ms, 2s)")
    ->capture_default_str();
  command->add_flag("--once", flags->once,
                    "Prints what lies between two looks, and ends");
  command->callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
