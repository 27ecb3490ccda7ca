/// What a change of the placement costs those who are served meanwhile: four
/// processes with the nano model under a steady load, whose experts move again
/// and again. Tokens per second in a window that begins with a change, beside
/// the window before it; and whether the texts are those of a quiet run.
///
///   placement_bench [changes] [streams] [window in ms]

#include "tests/cluster/moving_company.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>

namespace troupe {

namespace {

using seconds = std::chrono::duration<double>;

double now() {
  return seconds{std::chrono::steady_clock::now().time_since_epoch()}.count();
}

/// Requests that begin again when they have ended, all the time.
class load {
public:
  load(company& to, std::vector<generation_request> requests)
    : to_(to), requests_(std::move(requests)), texts_(requests_.size()),
      heard_(requests_.size()) {
  }

  void begin() {
    for (size_t i = 0; i < requests_.size(); ++i)
      ask(i);
  }

  /// Returns once the last one has ended.
  void end() {
    is_over_ = true;
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return num_open_ == 0; });
  }

  /// Lets it run until then.
  void pass(double end) {
    std::unique_lock lock{mutex_};
    for (auto at = now(); at < end; at = now())
      changed_.wait_for(lock, seconds{end - at});
  }

  /// Lets it run until so many requests have ended.
  void pass_requests(uint64_t count) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [=, this] { return num_ended_ >= count; });
  }

  uint64_t num_tokens() const {
    return num_tokens_;
  }

  uint64_t num_ended() const {
    return num_ended_;
  }

  /// Texts that were not those of the first time, and requests that failed.
  uint64_t num_wrong() const {
    return num_wrong_;
  }

  /// The longest time between two events of a request since the last call.
  double take_longest_gap() {
    std::lock_guard lock{mutex_};
    return std::exchange(longest_gap_, 0);
  }

private:
  void ask(size_t i) {
    {
      std::lock_guard lock{mutex_};
      ++num_open_;
      heard_[i] = {};
    }
    auto last = std::make_shared<double>(0);
    auto id = to_.submit(requests_[i], [this, i, last](auto& event) {
      auto at = now();
      num_tokens_ += event.tokens.size();
      {
        std::lock_guard lock{mutex_};
        auto& text = heard_[i];
        text.insert(text.end(), event.tokens.begin(), event.tokens.end());
        if (*last > 0)
          longest_gap_ = std::max(longest_gap_, at - *last);
        *last = at;
      }
      if (event.finish != finish_reason::none)
        end(i, event);
    });
    if (!id) {
      ++num_wrong_;
      close();
    }
  }

  void end(size_t i, const generation_event& event) {
    ++num_ended_;
    {
      std::lock_guard lock{mutex_};
      if (texts_[i].empty())
        texts_[i] = heard_[i];
      if (event.cause || texts_[i] != heard_[i])
        ++num_wrong_;
    }
    if (!is_over_)
      ask(i);
    close();
  }

  void close() {
    std::lock_guard lock{mutex_};
    --num_open_;
    changed_.notify_all();
  }

  company& to_;
  const std::vector<generation_request> requests_;
  std::vector<std::vector<int32_t>> texts_; ///< Of the first time.
  std::vector<std::vector<int32_t>> heard_;
  std::mutex mutex_;
  std::condition_variable changed_;
  double longest_gap_ = 0;
  size_t num_open_ = 0;
  std::atomic<bool> is_over_ = false;
  std::atomic<uint64_t> num_tokens_ = 0;
  std::atomic<uint64_t> num_ended_ = 0;
  std::atomic<uint64_t> num_wrong_ = 0;
};

double median(std::vector<double> x) {
  std::ranges::sort(x);
  return x.empty() ? 0 : x[x.size() / 2];
}

struct windows {
  std::vector<double> ratios;
  std::vector<double> changes; ///< Seconds.
  double gap_before = 0;
  double gap_during = 0;
};

/// Tokens per second until `end`.
double rate(load& x, double end) {
  auto first = x.num_tokens();
  auto begun = now();
  x.pass(end);
  return double(x.num_tokens() - first) / (now() - begun);
}

/// One window before, and one that begins with a change.
bool measure(moving_company& all, load& x, random_stream& chance, double length,
             windows& out) {
  x.take_longest_gap();
  auto before = rate(x, now() + length);
  out.gap_before = std::max(out.gap_before, x.take_longest_gap());
  auto first = x.num_tokens();
  auto begun = now();
  auto changed = all.move(chance);
  out.changes.push_back(now() - begun);
  if (!changed) {
    std::fprintf(stderr, "%s\n", changed.why().message.c_str());
    return false;
  }
  rate(x, begun + length);
  auto during = double(x.num_tokens() - first) / (now() - begun);
  out.gap_during = std::max(out.gap_during, x.take_longest_gap());
  out.ratios.push_back(during / before);
  return true;
}

int bench(uint32_t num_changes, uint32_t num_streams, double length) {
  moving_company all;
  if (auto why = all.start(moving_company::four_processes(4)); !why.empty()) {
    std::fprintf(stderr, "%s\n", why.c_str());
    return 1;
  }
  std::vector<generation_request> requests;
  for (uint32_t i = 0; i < num_streams; ++i) {
    requests.push_back(request_for(random_prompt(i, 8 + 4 * i), 200, i));
    requests.back().want_logits = false;
  }
  load x{all.front(), requests};
  x.begin();
  x.pass_requests(2 * num_streams); // the texts of a quiet run
  random_stream chance{1};
  windows out;
  for (uint32_t i = 0; i < num_changes; ++i)
    if (!measure(all, x, chance, length, out))
      return 1;
  auto again = all.front().stats().steps_again;
  x.end();
  std::printf("%u changes, %u streams, windows of %.0f ms\n", num_changes,
              num_streams, length * 1e3);
  std::printf("tokens/s with a change over those before: median %.3f\n",
              median(out.ratios));
  std::printf("a change: median %.1f ms, longest %.1f ms\n",
              median(out.changes) * 1e3,
              *std::ranges::max_element(out.changes) * 1e3);
  std::printf("longest gap between tokens: %.1f ms before, %.1f ms with one\n",
              out.gap_before * 1e3, out.gap_during * 1e3);
  std::printf("steps begun again: %llu; %llu texts ended, %llu not those of a "
              "quiet run\n",
              static_cast<unsigned long long>(again),
              static_cast<unsigned long long>(x.num_ended()),
              static_cast<unsigned long long>(x.num_wrong()));
  return x.num_wrong() == 0 ? 0 : 1;
}

} // namespace

} // namespace troupe

int main(int argc, char** argv) {
  auto number = [&](int i, int fallback) {
    return argc > i ? std::atoi(argv[i]) : fallback;
  };
  return troupe::bench(uint32_t(number(1, 50)), uint32_t(number(2, 8)),
                       number(3, 1000) / 1e3);
}
