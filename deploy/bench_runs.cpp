#include "deploy/bench_runs.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>

namespace troupe {

namespace {

/// Longest time without any news of a service that is at work.
constexpr std::chrono::minutes patience{30};

double seconds(clock::instant from, clock::instant to) {
  return std::chrono::duration<double>(to - from).count();
}

generation_request request_for(const std::vector<int32_t>& prompt,
                               uint32_t max_tokens) {
  generation_request out;
  out.prompt = prompt;
  out.max_tokens = max_tokens;
  out.sampling.temperature = 0;
  out.ignore_eos = true;
  return out;
}

/// Hears of all sequences of a run. It outlives the run in the handlers, which
/// may be called late.
class decode_watch {
public:
  decode_watch(size_t num_sequences, uint32_t num_steps)
    : all_(num_sequences), num_steps_(num_steps) {
  }

  void on_event(size_t i, const generation_event& event, clock::instant now) {
    std::lock_guard guard{mutex_};
    ++news_;
    auto& x = all_[i];
    auto count = static_cast<uint32_t>(event.tokens.size());
    if (count > 0)
      hear(x, count, now);
    if (event.finish != finish_reason::none) {
      ++num_finished_;
      if (!is_done() && !cause_)
        cause_ = event.cause.value_or(
          failure{errc::overloaded, "a sequence ended before the last one's "
                                    "prompt was through; try fewer at once"});
    }
    changed_.notify_all();
  }

  /// Waits for the last step, or for what went wrong.
  result<void> wait_until_done() {
    return wait([&] { return is_done() || cause_; });
  }

  /// Waits for the last events of `count` sequences.
  result<void> wait_until_finished(size_t count) {
    return wait([&] { return num_finished_ >= count; });
  }

  /// `prompts` as they were submitted. After wait_until_done.
  result<decode_time> time(const prompt_list& prompts) {
    std::lock_guard guard{mutex_};
    if (!is_done())
      return *cause_;
    double positions = 0, runs_per_second = 0;
    for (size_t i = 0; i < prompts.size(); ++i) {
      positions += double(prompts[i].size()) + all_[i].count_at_begin - 1;
      runs_per_second += 1 / seconds(all_[i].begin, all_[i].end);
    }
    auto n = double(prompts.size());
    return decode_time{n / runs_per_second,
                       positions / n + (num_steps_ - 1) / 2.0};
  }

private:
  struct sequence {
    uint32_t count = 0; ///< Of tokens.
    uint32_t count_at_begin = 0;
    clock::instant latest; ///< Token.
    clock::instant begin;  ///< The latest token when all had one.
    clock::instant end;    ///< num_steps later.
    bool is_done = false;
  };

  bool is_begun() const {
    return num_started_ == all_.size();
  }

  bool is_done() const {
    return num_done_ == all_.size();
  }

  void hear(sequence& x, uint32_t count, clock::instant now) {
    auto is_first = x.count == 0;
    x.count += count;
    x.latest = now;
    if (is_first && ++num_started_ == all_.size())
      for (auto& each : all_) {
        each.begin = each.latest;
        each.count_at_begin = each.count;
      }
    if (is_begun() && !x.is_done && x.count >= x.count_at_begin + num_steps_) {
      x.end = now;
      x.is_done = true;
      ++num_done_;
    }
  }

  template <class Predicate>
  result<void> wait(Predicate done) {
    std::unique_lock guard{mutex_};
    while (!done()) {
      auto before = news_;
      changed_.wait_for(guard, patience,
                        [&] { return done() || news_ != before; });
      if (!done() && news_ == before)
        return failure{errc::deadline_passed,
                       "nothing was heard of a run for half an hour"};
    }
    return {};
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<sequence> all_;
  uint32_t num_steps_;
  uint64_t news_ = 0;
  size_t num_started_ = 0;
  size_t num_done_ = 0;
  size_t num_finished_ = 0;
  std::optional<failure> cause_;
};

} // namespace

// -- a service ----------------------------------------------------------------

result<double> service_runs::prefill(const prompt_list& prompts) {
  struct answers {
    std::mutex mutex;
    std::condition_variable changed;
    size_t num_finished = 0;
    std::optional<failure> cause;
    clock::instant at; ///< The latest token.
  };
  auto heard = std::make_shared<answers>();
  auto on_event = [heard, &time = time_](const generation_event& event) {
    auto now = time.now();
    std::lock_guard guard{heard->mutex};
    if (!event.tokens.empty())
      heard->at = now;
    if (event.finish == finish_reason::failed)
      heard->cause = event.cause.value_or(
        failure{errc::step_failed, "the prompt failed without a cause"});
    if (event.finish != finish_reason::none)
      ++heard->num_finished;
    heard->changed.notify_all();
  };
  auto start = time_.now();
  for (auto& prompt : prompts)
    if (auto id = service_.submit(request_for(prompt, 1), on_event); !id)
      return id.why();
  std::unique_lock guard{heard->mutex};
  if (!heard->changed.wait_for(
        guard, patience, [&] { return heard->num_finished == prompts.size(); }))
    return failure{errc::deadline_passed, "prompts took over half an hour"};
  if (heard->cause)
    return *heard->cause;
  return seconds(start, heard->at);
}

result<decode_time> service_runs::decode(const prompt_list& prompts,
                                         uint32_t num_steps,
                                         uint32_t max_tokens) {
  auto watch = std::make_shared<decode_watch>(prompts.size(), num_steps);
  std::vector<request_id> ids;
  std::optional<failure> refused;
  for (size_t i = 0; i < prompts.size() && !refused; ++i) {
    auto id = service_.submit(request_for(prompts[i], max_tokens),
                              [watch, i, &time = time_](auto& event) {
                                watch->on_event(i, event, time.now());
                              });
    if (id)
      ids.push_back(*id);
    else
      refused = id.why();
  }
  if (!refused)
    if (auto ok = watch->wait_until_done(); !ok)
      refused = ok.why();
  for (auto id : ids)
    service_.cancel(id);
  auto ended = watch->wait_until_finished(ids.size());
  if (refused)
    return *refused;
  if (!ended)
    return ended.why();
  return watch->time(prompts);
}

// -- the plain path -----------------------------------------------------------

result<double> plain_runs::prefill(const prompt_list& prompts) {
  auto start = time_.now();
  auto end = start;
  for (auto& prompt : prompts)
    if (auto ok = plain_.generate(request_for(prompt, 1),
                                  [&](int32_t) { end = time_.now(); });
        !ok)
      return ok.why();
  return seconds(start, end);
}

result<decode_time> plain_runs::decode(const prompt_list& prompts,
                                       uint32_t num_steps) {
  clock::instant begin;
  clock::instant end;
  uint32_t count = 0;
  auto ok = plain_.generate_together(prompts, num_steps + 1, [&](auto&) {
    end = time_.now();
    if (count++ == 0)
      begin = end;
  });
  if (!ok)
    return ok.why();
  double total = 0;
  for (auto& prompt : prompts)
    total += double(prompt.size());
  return decode_time{seconds(begin, end),
                     total / double(prompts.size()) + (num_steps - 1) / 2.0};
}

} // namespace troupe
