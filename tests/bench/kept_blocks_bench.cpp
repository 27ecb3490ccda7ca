/// Time to the first token of a prompt of 2,049 tokens: cold, with its
/// beginning in memory, on a disk whose files the system still has, and on one
/// that it has forgotten.
///
///   kept_blocks_bench MODEL_DIR DIR [rounds] [prompt tokens]
///
/// Rounds are interleaved; medians are printed. The cache has room for one such
/// prompt, so that the next one drives it out.

#include "actors/company.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>

namespace troupe {

namespace {

double now() {
  using seconds = std::chrono::duration<double>;
  return seconds{std::chrono::steady_clock::now().time_since_epoch()}.count();
}

generation_request prompt_of(uint32_t seed, uint32_t num_tokens) {
  std::mt19937 random{seed};
  generation_request out;
  out.prompt.push_back(0);
  while (out.prompt.size() < num_tokens)
    out.prompt.push_back(int32_t(256 + random() % 1000));
  out.max_tokens = 1;
  out.sampling.temperature = 0;
  out.ignore_eos = true;
  return out;
}

struct asked {
  double seconds = 0;
  uint32_t num_cached = 0;
  std::vector<int32_t> tokens = {};
};

asked ask(company& x, const generation_request& request) {
  std::mutex mutex;
  std::condition_variable changed;
  asked out;
  bool done = false;
  auto begin = now();
  auto id = x.submit(request, [&](const generation_event& event) {
    std::lock_guard lock{mutex};
    if (out.seconds == 0)
      out.seconds = now() - begin;
    out.num_cached += event.num_cached;
    out.tokens.insert(out.tokens.end(), event.tokens.begin(),
                      event.tokens.end());
    done = event.finish != finish_reason::none;
    changed.notify_all();
  });
  CHECK(id);
  std::unique_lock lock{mutex};
  CHECK(changed.wait_for(lock, std::chrono::minutes{5}, [&] { return done; }));
  return out;
}

std::unique_ptr<company> start(const std::string& model, const std::string& dir,
                               uint32_t num_tokens) {
  company_options out;
  out.cluster = single_process(1, 1);
  out.cluster.max_model_len = (num_tokens + 127) / 64 * 64;
  out.cluster.limits.num_kv_blocks = out.cluster.max_model_len / 64 + 4;
  out.cluster.limits.max_num_seqs = 1;
  out.cluster.limits.micro_batches = 1;
  out.model_dir = model;
  out.node.num_threads = std::max(1u, std::thread::hardware_concurrency());
  out.node.kv_cache_dir = dir;
  out.node.kv_cache_bytes = uint64_t{4} << 30;
  out.node.allow_overcommit = true;
  auto made = company::start(std::move(out));
  CHECK(made && (*made)->wait_until_ready(std::chrono::minutes{5}));
  return std::move(*made);
}

void wait_for_blocks(const company& x, uint64_t count) {
  while (x.stats().store_blocks < count)
    std::this_thread::yield();
}

void forget(const std::string& dir) {
  ::sync();
  for (auto& x : std::filesystem::recursive_directory_iterator{dir}) {
    auto fd = ::open(x.path().c_str(), O_RDONLY);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

double median(std::vector<double> x) {
  std::ranges::sort(x);
  return x[x.size() / 2];
}

void run(const std::string& model, const std::string& dir, uint32_t rounds,
         uint32_t num_tokens) {
  auto x = start(model, dir, num_tokens);
  std::vector<double> cold, memory, disk, forgotten;
  auto blocks = (num_tokens - 1) / 64;
  auto other = prompt_of(1'000'000, num_tokens);
  ask(*x, other);
  for (uint32_t i = 0; i < rounds; ++i) {
    auto what = prompt_of(i + 1, num_tokens);
    auto first = ask(*x, what);
    CHECK(first.num_cached == 0);
    cold.push_back(first.seconds);
    wait_for_blocks(*x, uint64_t(i + 2) * blocks);
    auto add = [&](auto& to) {
      auto again = ask(*x, what);
      CHECK(again.tokens == first.tokens);
      CHECK(again.num_cached == blocks * 64);
      to.push_back(again.seconds);
      ask(*x, other); // drives it out
    };
    add(memory);
    add(disk);
    forget(dir);
    add(forgotten);
  }
  CHECK(x->stats().store_hits >= 2 * rounds * blocks);
  auto of = median(cold);
  std::printf("%u tokens, %u of them in %u blocks:\n", num_tokens, blocks * 64,
              blocks);
  for (auto& [name, all] : {std::pair{"cold", &cold},
                            {"memory", &memory},
                            {"disk, still in the system's cache", &disk},
                            {"disk, forgotten by the system", &forgotten}})
    std::printf("%-36s %8.1f ms   1/%.1f of cold\n", name, median(*all) * 1e3,
                of / median(*all));
}

} // namespace

} // namespace troupe

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "kept_blocks_bench MODEL_DIR DIR [rounds] [tokens]\n");
    return 2;
  }
  auto dir = std::filesystem::path{argv[2]} / "kept_blocks_bench";
  std::filesystem::remove_all(dir);
  auto rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  auto tokens = argc > 4 ? std::atoi(argv[4]) : 2049;
  troupe::run(argv[1], dir.string(), uint32_t(rounds), uint32_t(tokens));
  std::filesystem::remove_all(dir);
}
