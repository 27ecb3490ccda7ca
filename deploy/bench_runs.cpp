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
    : counts_(num_sequences), num_steps_(num_steps) {
  }

  void on_event(size_t i, const generation_event& event, clock::instant now) {
    std::lock_guard guard{mutex_};
    ++news_;
    auto count = static_cast<uint32_t>(event.tokens.size());
    auto is_first = counts_[i] == 0 && count > 0;
    counts_[i] += count;
    if (is_first && ++num_started_ == counts_.size()) {
      begin_ = now;
      last_ = i;
      counts_at_begin_ = counts_;
    }
    if (is_begun() && i == last_ && !is_done_
        && counts_[i] >= counts_at_begin_[i] + num_steps_) {
      end_ = now;
      is_done_ = true;
    }
    if (event.finish != finish_reason::none) {
      ++num_finished_;
      if (!is_done_ && !cause_)
        cause_ = event.cause.value_or(
          failure{errc::overloaded, "a sequence ended before the last one's "
                                    "prompt was through; try fewer at once"});
    }
    changed_.notify_all();
  }

  /// Waits for the last step, or for what went wrong.
  result<void> wait_until_done() {
    return wait([&] { return is_done_ || cause_; });
  }

  /// Waits for the last events of `count` sequences.
  result<void> wait_until_finished(size_t count) {
    return wait([&] { return num_finished_ >= count; });
  }

  /// `prompts` as they were submitted. After wait_until_done.
  result<decode_time> time(const prompt_list& prompts) {
    std::lock_guard guard{mutex_};
    if (!is_done_)
      return *cause_;
    double positions = 0;
    for (size_t i = 0; i < prompts.size(); ++i)
      positions += double(prompts[i].size()) + counts_at_begin_[i] - 1;
    return decode_time{seconds(begin_, end_), positions / double(prompts.size())
                                                + (num_steps_ - 1) / 2.0};
  }

private:
  bool is_begun() const {
    return num_started_ == counts_.size();
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
  std::vector<uint32_t> counts_; ///< Tokens of each sequence.
  std::vector<uint32_t> counts_at_begin_;
  uint32_t num_steps_;
  uint64_t news_ = 0;
  size_t num_started_ = 0;
  size_t num_finished_ = 0;
  size_t last_ = 0; ///< Who started last.
  bool is_done_ = false;
  clock::instant begin_;
  clock::instant end_;
  std::optional<failure> cause_;
};

} // namespace

// -- a service ----------------------------------------------------------------

result<double> service_runs::prefill(const std::vector<int32_t>& prompt) {
  struct answer {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<generation_event> last;
    clock::instant at;
  };
  auto heard = std::make_shared<answer>();
  auto start = time_.now();
  auto id = service_.submit(request_for(prompt, 1),
                            [heard, &time = time_](auto& event) {
                              auto now = time.now();
                              std::lock_guard guard{heard->mutex};
                              if (!event.tokens.empty())
                                heard->at = now;
                              if (event.finish != finish_reason::none)
                                heard->last = event;
                              heard->changed.notify_all();
                            });
  if (!id)
    return id.why();
  std::unique_lock guard{heard->mutex};
  if (!heard->changed.wait_for(guard, patience,
                               [&] { return heard->last.has_value(); }))
    return failure{errc::deadline_passed, "a prompt took over half an hour"};
  if (heard->last->finish == finish_reason::failed)
    return heard->last->cause.value_or(
      failure{errc::step_failed, "the prompt failed without a cause"});
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

result<double> plain_runs::prefill(const std::vector<int32_t>& prompt) {
  auto start = time_.now();
  auto end = start;
  auto ok = plain_.generate(request_for(prompt, 1),
                            [&](int32_t) { end = time_.now(); });
  if (!ok)
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
