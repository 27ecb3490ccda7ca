// The test of the tester: every bug of the table is planted in turn, and seeds
// of one small company, the same for all, have to find it. Each bug has a
// process of its own, since some of them end it, which is a way to be found.
//
//   planted_bugs [--seeds N] [NAME...]: all without a name, or "none"
//
// Prints a line for each; exit status 0 only if all were found. In a build
// without TROUPE_PLANTED there is no bug to be found: it is built to be known
// to be built.

#include "actors/simulation_batch.hpp"
#include "runtime/clock.hpp"
#include "runtime/planted.hpp"
#include "runtime/sim/oracle.hpp"
#include "tests/places.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

using namespace troupe;

namespace {

struct bug {
  const char* name;
  const char* what;
  uint32_t lanes = 0; ///< micro_batches, as the company has it: 0.
};

constexpr bug bugs[] = {
  {"stale_rows_accepted", "rows of another step, layer or epoch count"},
  {"slab_reused_early", "a slab of rows is free before it has left"},
  {"answer_reused_early", "a slab of answers is free before it has left"},
  {"answer_sent_before_copied", "answers leave before they are copied"},
  {"combine_in_arrival_order", "rows land in the order in which they come"},
  {"rows_of_another_rank", "rows that are run together are mixed up"},
  {"replica_of_another_expert", "a slot has the weights of another expert"},
  {"failed_run_answered", "a run that has failed is answered as if not"},
  {"worker_not_woken", "the end of a run does not wake its worker"},
  {"checksum_not_checked", "a frame with a wrong checksum is read"},
  {"repeated_frame_accepted", "a frame that was taken is taken again"},
  {"block_freed_early", "a cancel frees blocks that a step writes to"},
  {"cancel_forgets_blocks", "a cancel in a step frees no blocks"},
  {"preempted_and_not_computed_again", "lost blocks count as computed"},
  {"answer_lost_at_preemption", "who loses its blocks begins its answer anew"},
  {"sampled_by_place_in_step", "the place in the step decides what is drawn"},
  {"form_of_the_step", "all rows of a step attend as its first ones"},
  {"failed_step_ends_nobody", "requests of a failed step do not hear of it"},
  {"scheduler_not_woken", "a request does not wake a rank that is idle"},
  {"duplicate_token_committed", "tokens that come twice are said twice"},
  {"limit_of_requests_is_off", "twice as many requests are let in"},
  {"loss_not_reported", "who sees a node go does not tell the controller"},
  {"loss_not_told_to_ranks", "ranks do not hear that a node is lost"},
  {"loss_not_told_to_gateway", "the gateway does not"},
  {"term_not_raised", "a request moves, and its last owner may go on"},
  {"answer_lost_at_move", "who is moved begins its answer anew"},
  {"abandoned_rows_count", "rows of an abandoned step count as computed"},
  {"another_expert_loaded", "who moves has the weights of another expert"},
  {"told_before_loaded", "ranks plan with experts that are still loaded"},
  {"lanes_share_a_landing", "rows of two steps land in one place", 2},
};

constexpr const char* none = "none"; // a company without a bug

std::filesystem::path place_of(const char* name) {
  return source_dir() / "tests/simulation" / name;
}

/// What `--faults random` runs on the same files.
simulation_batch prepare(uint32_t lanes) {
  auto cluster = read_topology(place_of("company.toml"));
  auto load = read_requests(place_of("requests.jsonl"));
  CHECK(cluster && load);
  cluster->limits.micro_batches = lanes;
  auto how = [] { return kernels::make_cpu_executor({}); };
  auto model = shared_model::open(cluster->model,
                                  kernels::make_inline_device(0, how()));
  CHECK(model);
  oracle_options oracle;
  oracle.activations = cluster->activations;
  oracle.max_model_len = cluster->max_model_len;
  auto tokens = (*model)->tokens();
  oracle.num_choices = tokens->num_choices;
  oracle.grammars = tokens->grammars;
  oracle.num_ranks = cluster->num_ranks();
  CHECK(ask_plain_path((*model)->source(), how(), oracle, *load));
  simulation_batch_options out;
  out.base.what.load = std::move(*load);
  out.base.company.cluster = std::move(*cluster);
  out.base.company.model = *model;
  out.make_compute = how;
  out.random_faults = true;
  return simulation_batch{std::move(out)};
}

/// What a child tells its parent while it runs.
struct word {
  uint64_t seed = 0;  ///< That is running, or has found it.
  double seconds = 0; ///< Since it began.
  bool is_found = false;
  bool was_reached = false;
  char how[200] = {};
};

std::string how_found(const simulation_result& x) {
  for (auto& v : x.violations)
    return to_string(v);
  return "a fault that had to happen did not";
}

/// The child: runs seeds until one fails.
void look_for(const bug& which, uint64_t num_seeds, int to) {
  auto batch = prepare(which.lanes);
  planted_bug::choose(which.name);
  system_clock time;
  auto begin = time.now();
  auto say = [&](word x) {
    x.seconds = std::chrono::duration<double>(time.now() - begin).count();
    x.was_reached = planted_bug::was_reached();
    CHECK(write(to, &x, sizeof x) == ssize_t(sizeof x));
  };
  for (uint64_t seed = 1; seed <= num_seeds; ++seed) {
    say({.seed = seed});
    auto out = batch.run(seed, batch.case_of(seed));
    if (out.holds())
      continue;
    word last{.seed = seed, .is_found = true};
    std::strncpy(last.how, how_found(out).c_str(), sizeof last.how - 1);
    return say(last);
  }
  say({.seed = num_seeds});
}

/// Returns whether all went as it should.
bool report(const bug& x, const word& last, int status, bool is_wanted) {
  std::string how = last.how;
  if (WIFSIGNALED(status))
    how = std::string{"the process ended: "} + strsignal(WTERMSIG(status));
  auto is_found = last.is_found || WIFSIGNALED(status);
  if (!is_found)
    how = last.was_reached ? "not found" : "not found, nobody came by it";
  std::printf("%-34s %5llu seeds %7.1f s  %s\n", x.name,
              static_cast<unsigned long long>(last.seed), last.seconds,
              how.c_str());
  std::fflush(stdout);
  return is_found == is_wanted;
}

struct child {
  pid_t process = 0;
  int words = -1; ///< Ends with the process.
};

/// One at a time: no child may hold the end that another one writes to.
child start(const bug& x, uint64_t num_seeds) {
  static std::mutex mutex;
  std::lock_guard lock{mutex};
  int ends[2];
  CHECK(pipe(ends) == 0);
  auto process = fork();
  CHECK(process >= 0);
  if (process == 0) {
    close(ends[0]);
    look_for(x, num_seeds, ends[1]);
    std::_Exit(0);
  }
  close(ends[1]);
  return {process, ends[0]};
}

bool run(const bug& x, uint64_t num_seeds) {
  auto [process, words] = start(x, num_seeds);
  word last, next;
  while (read(words, &next, sizeof next) == ssize_t(sizeof next))
    last = next;
  close(words);
  int status = 0;
  CHECK(waitpid(process, &status, 0) == process);
  return report(x, last, status, x.name != none);
}

} // namespace

int main(int argc, char** argv) {
  uint64_t num_seeds = 1000;
  std::vector<bug> chosen;
  for (int i = 1; i < argc; ++i) {
    std::string_view arg = argv[i];
    if (arg == "--seeds" && i + 1 < argc) {
      num_seeds = std::strtoull(argv[++i], nullptr, 10);
      continue;
    }
    auto is_it = [&](auto& x) { return arg == x.name; };
    auto found = std::find_if(std::begin(bugs), std::end(bugs), is_it);
    if (arg == none)
      chosen.push_back({none, ""});
    else if (found != std::end(bugs))
      chosen.push_back(*found);
    else
      return std::fprintf(stderr, "there is no bug %s\n", argv[i]), 2;
  }
  if (chosen.empty())
    chosen.assign(std::begin(bugs), std::end(bugs));
  // Some at a time; what they print is one line each.
  std::atomic<size_t> next = 0, failed = 0;
  std::vector<std::jthread> runners(
    std::max(1u, std::thread::hardware_concurrency()));
  for (auto& x : runners)
    x = std::jthread{[&] {
      for (size_t i; (i = next++) < chosen.size();)
        failed += !run(chosen[i], num_seeds);
    }};
  runners.clear();
  return failed == 0 ? 0 : 1;
}
