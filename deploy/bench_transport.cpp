#include "deploy/bench_transport.hpp"

#include "deploy/exchange_group.hpp"
#include "deploy/exchange_process.hpp"
#include "deploy/progress.hpp"
#include "deploy/report.hpp"
#include "runtime/formatted.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>

namespace troupe {

namespace {

/// Seconds that one measurement is to take.
constexpr double measured_time = 0.1;

constexpr uint32_t max_rounds = 100'000;

struct transport_flags {
  std::vector<uint32_t> processes{2, 4, 8};
  std::vector<std::string> wires{"tcp", "shm"};
  std::vector<uint32_t> widths{7168, 256};
  std::vector<uint64_t> bytes{4 << 10, 64 << 10, 448 << 10};
  uint32_t window = 4;
  uint32_t repeats = 9;
  bool json = false;
  std::optional<uint32_t> self; ///< This is a child.
  int channel = -1;
  bool on_shared_memory = false;
};

/// Of one exchange, and what it took.
struct transport_case {
  uint32_t num_processes = 0;
  std::string wire;
  uint32_t width = 0;
  uint32_t num_rows = 0; ///< To each peer in a round.
  bench::exchange_shape shape;
  std::vector<double> troupe, raw; ///< Seconds of a round.
};

/// What is least disturbed by whatever else the machine does.
double tenth_percentile(std::vector<double> x) {
  std::ranges::sort(x);
  return x[x.size() / 10];
}

/// As dispatch sends them with --activations fp8: codes, and a scale for each
/// 128 of them.
uint32_t dispatch_row_bytes(uint32_t width) {
  return width + 4 * ((width + 127) / 128);
}

/// BF16.
uint32_t combine_row_bytes(uint32_t width) {
  return 2 * width;
}

transport_case case_of(const transport_flags& flags, uint32_t num_processes,
                       const std::string& wire, uint32_t width,
                       uint64_t bytes) {
  transport_case out{num_processes, wire, width, 0, {}, {}, {}};
  out.num_rows
    = uint32_t(std::max<uint64_t>(bytes / dispatch_row_bytes(width), 1));
  auto& shape = out.shape;
  shape.num_peers = num_processes - 1;
  shape.dispatch_bytes = out.num_rows * dispatch_row_bytes(width);
  shape.combine_bytes = out.num_rows * combine_row_bytes(width);
  shape.window = flags.window;
  return out;
}

/// In turn: whatever disturbs the machine disturbs both.
result<void> measure(exchange_group& group, uint32_t repeats,
                     transport_case& x) {
  using way = exchange_group::way;
  x.shape.num_rounds = 4 * x.shape.window;
  double slowest = 0;
  for (auto how : {way::raw, way::troupe, way::raw, way::troupe}) {
    auto took = group.run(how, x.shape); // warms up
    if (!took)
      return took.why();
    slowest = *took / x.shape.num_rounds;
  }
  x.shape.num_rounds = uint32_t(std::clamp<double>(
    measured_time / slowest, 4 * x.shape.window, max_rounds));
  for (uint32_t i = 0; i < 2 * repeats; ++i) {
    auto how = i % 4 == 0 || i % 4 == 3 ? way::raw : way::troupe;
    auto took = group.run(how, x.shape);
    if (!took)
      return took.why();
    auto& to = how == way::raw ? x.raw : x.troupe;
    to.push_back(*took / x.shape.num_rounds);
  }
  return {};
}

std::string line_of(const transport_case& x) {
  auto raw = tenth_percentile(x.raw), troupe = tenth_percentile(x.troupe);
  return formatted("%5u  %-4s %6u %6u %9u %9u %10.1f %10.1f %7.3f %8.2f\n",
                   x.num_processes, x.wire.c_str(), x.width, x.num_rows,
                   x.shape.dispatch_bytes, x.shape.combine_bytes, raw * 1e6,
                   troupe * 1e6, raw / troupe,
                   x.shape.bytes() / x.shape.num_rounds / troupe * 1e-9);
}

nlohmann::json json_of(const transport_case& x) {
  return {{"processes", x.num_processes},
          {"wire", x.wire},
          {"width", x.width},
          {"rows", x.num_rows},
          {"dispatch_bytes", x.shape.dispatch_bytes},
          {"combine_bytes", x.shape.combine_bytes},
          {"window", x.shape.window},
          {"raw_seconds", tenth_percentile(x.raw)},
          {"troupe_seconds", tenth_percentile(x.troupe)},
          {"ratio", tenth_percentile(x.raw) / tenth_percentile(x.troupe)}};
}

std::string new_secret() {
  system_entropy chance;
  return formatted("%016llx%016llx", (unsigned long long)chance.draw(),
                   (unsigned long long)chance.draw());
}

int run_parent(const transport_flags& flags) {
  progress_display progress{"bench", false};
  auto total = flags.processes.size() * flags.wires.size() * flags.widths.size()
               * flags.bytes.size();
  size_t done = 0;
  nlohmann::json all = nlohmann::json::array();
  if (!flags.json)
    std::fputs("procs  wire  width   rows  dispatch   combine     raw us  "
               "troupe us   ratio     GB/s\n",
               stdout);
  for (auto& wire : flags.wires)
    for (auto num_processes : flags.processes) {
      auto group = exchange_group::start(num_processes, wire == "shm",
                                         new_secret());
      if (!group)
        return report(group.why());
      for (auto width : flags.widths)
        for (auto bytes : flags.bytes) {
          auto x = case_of(flags, num_processes, wire, width, bytes);
          if (auto ok = measure(*group, flags.repeats, x); !ok)
            return report(ok.why());
          if (flags.json)
            all.push_back(json_of(x));
          else
            std::fputs(line_of(x).c_str(), stdout);
          std::fflush(stdout);
          progress.show("exchanges", ++done, total);
        }
    }
  if (flags.json)
    std::printf("%s\n", all.dump().c_str());
  return 0;
}

/// UCX reads its settings from the environment.
void choose_shared_memory() {
  setenv("UCX_TLS", "posix,tcp,self", 1);
  setenv("UCX_POSIX_ERROR_HANDLING", "y", 1);
  setenv("UCX_NET_DEVICES", "lo", 1);
}

int run_child(const transport_flags& flags) {
  if (flags.on_shared_memory)
    choose_shared_memory();
  auto channel = word_channel::adopt(flags.channel);
  if (!channel)
    return report(channel.why());
  exchange_process{std::move(*channel), *flags.self}.run();
  return 0;
}

void add_flags(CLI::App& command, transport_flags& flags) {
  auto largest = exchange_process::max_body / 2;
  command.add_option("--processes", flags.processes, "How many (2,4,8)")
    ->delimiter(',')
    ->check(CLI::Range(2, 64));
  command
    .add_option("--wire", flags.wires,
                "What they are connected by (tcp,shm); shm is shared memory")
    ->delimiter(',')
    ->check(CLI::IsMember({"tcp", "shm"}));
  command.add_option("--width", flags.widths, "Values of a row (7168,256)")
    ->delimiter(',')
    ->check(CLI::Range(1u, largest / 4));
  command
    .add_option("--bytes", flags.bytes,
                "To each process in a round; as many rows as fit, one at least "
                "(4KiB,64KiB,448KiB)")
    ->delimiter(',')
    ->transform(CLI::AsSizeValue(false))
    ->check(CLI::Range(uint64_t{1}, uint64_t{largest / 2}));
  command
    .add_option("--window", flags.window, "Rounds that are out at once (4)")
    ->check(CLI::Range(1, 64));
  command
    .add_option("--repeats", flags.repeats,
                "Of so many the tenth percentile (9)")
    ->check(CLI::Range(1, 1000));
  command.add_flag("--json", flags.json, "A JSON array instead of a table");
  command.add_option("--exchange-process", flags.self)->group("");
  command.add_option("--channel", flags.channel)->group("");
  command.add_flag("--shared-memory", flags.on_shared_memory)->group("");
}

} // namespace

void add_bench_transport(CLI::App& bench, int& status) {
  auto flags = std::make_shared<transport_flags>();
  auto command = bench.add_subcommand(
    "transport", "Dispatch and combine between processes of this machine, over "
                 "Troupe's transport and, in turn, over UCX alone with the "
                 "same bytes");
  add_flags(*command, *flags);
  command->callback([flags, &status] {
    status = flags->self ? run_child(*flags) : run_parent(*flags);
  });
}

} // namespace troupe
