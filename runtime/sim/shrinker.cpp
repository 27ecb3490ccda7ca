#include "runtime/sim/shrinker.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

constexpr virtual_duration least_span{1000};

size_t num_faults(const sim_case& x) {
  return x.faults.size();
}

size_t num_requests(const sim_case& x) {
  return x.load.requests.size();
}

sim_case without_faults(const sim_case& x, size_t first, size_t size) {
  auto out = x;
  auto at = out.faults.begin() + std::ptrdiff_t(first);
  out.faults.erase(at, at + std::ptrdiff_t(size));
  return out;
}

/// Faults of clients go with their requests, or follow them.
sim_case without_requests(const sim_case& x, size_t first, size_t size) {
  auto out = x;
  auto& all = out.load.requests;
  auto at = all.begin() + std::ptrdiff_t(first);
  all.erase(at, at + std::ptrdiff_t(size));
  std::erase_if(out.faults, [&](const fault& f) {
    return f.request && *f.request >= first && *f.request < first + size;
  });
  for (auto& f : out.faults)
    if (f.request && *f.request >= first + size)
      *f.request -= static_cast<uint32_t>(size);
  return out;
}

/// Smaller it might make sense, and would not fail alike.
bool makes_no_sense(const client_request& x) {
  return x.expected && x.expected->is_refusal;
}

/// Down to one token. Returns whether that changed anything.
bool halve_prompt(client_request& x) {
  if (makes_no_sense(x))
    return false;
  auto& request = x.request;
  if (request.prompt.size() <= 1 || !request.segments.empty())
    return false;
  request.prompt.resize(request.prompt.size() / 2);
  x.expected.reset(); // nobody knows that answer
  return true;
}

bool halve_answer(client_request& x) {
  if (x.request.max_tokens <= 1 || makes_no_sense(x))
    return false;
  auto& most = x.request.max_tokens;
  most /= 2;
  if (x.expected && x.expected->tokens.size() > most) {
    x.expected->tokens.resize(most);
    x.expected->logits.resize(
      std::min<size_t>(x.expected->logits.size(), most));
    x.expected->finish = finish_reason::length;
  }
  return true;
}

} // namespace

shrinker::shrinker(predicate still_fails, uint32_t max_runs)
  : still_fails_(std::move(still_fails)), max_runs_(max_runs) {
}

sim_case shrinker::shrink(sim_case failing) {
  auto best = std::move(failing);
  for (bool again = true; again && !is_spent();) {
    again = drop(best, num_faults, without_faults);
    again = drop(best, num_requests, without_requests) || again;
    again = shorten_requests(best) || again;
    again = simplify_requests(best) || again;
    again = shorten_faults(best) || again;
  }
  return best;
}

bool shrinker::take(sim_case& best, sim_case x) {
  if (x.load.requests.empty() && !best.load.requests.empty())
    return false; // a run in which nobody asks cannot be written down
  if (is_spent())
    return false;
  ++num_runs_;
  if (!still_fails_(x))
    return false;
  best = std::move(x);
  return true;
}

bool shrinker::take_while(sim_case& best, const change& smaller) {
  bool any = false;
  while (!is_spent()) {
    auto x = best;
    if (!smaller(x) || !take(best, std::move(x)))
      break;
    any = true;
  }
  return any;
}

bool shrinker::drop(
  sim_case& best, const std::function<size_t(const sim_case&)>& count,
  const std::function<sim_case(const sim_case&, size_t, size_t)>& without) {
  bool any = false;
  for (auto size = count(best); size > 0; size /= 2)
    for (size_t first = 0; first < count(best) && !is_spent();) {
      auto left = std::min(size, count(best) - first);
      if (take(best, without(best, first, left)))
        any = true; // what came after it stands at `first` now
      else
        first += left;
    }
  return any;
}

/// All of them together, then each for itself.
bool shrinker::shorten_requests(sim_case& best) {
  bool any = false;
  for (auto halve : {halve_answer, halve_prompt}) {
    auto halve_all = [halve](sim_case& x) {
      bool some = false;
      for (auto& request : x.load.requests)
        some = halve(request) || some;
      return some;
    };
    any = take_while(best, halve_all) || any;
    for (size_t i = 0; i < num_requests(best); ++i) {
      auto halve_one = [halve, i](sim_case& x) {
        return halve(x.load.requests[i]);
      };
      any = take_while(best, halve_one) || any;
    }
  }
  return any;
}

/// Nobody cancels, samples or comes late, where that is not needed.
bool shrinker::simplify_requests(sim_case& best) {
  bool any = false;
  for (size_t i = 0; i < num_requests(best) && !is_spent(); ++i) {
    auto x = best;
    auto& request = x.load.requests[i];
    if (makes_no_sense(request))
      continue;
    auto is_simple = !request.cancel_after && !request.cancel_after_tokens
                     && request.request.sampling.temperature == 0
                     && request.arrival.count() == 0;
    request.cancel_after.reset();
    request.cancel_after_tokens.reset();
    if (std::exchange(request.request.sampling.temperature, 0.f) != 0)
      request.expected.reset();
    request.arrival = {};
    any = (!is_simple && take(best, std::move(x))) || any;
  }
  return any;
}

/// Less often, half as long, at an earlier event.
bool shrinker::shorten_faults(sim_case& best) {
  bool any = false;
  for (size_t i = 0; i < num_faults(best); ++i) {
    auto less = [](auto& number, auto least) {
      auto is_more = number > least;
      if (is_more)
        number = std::max(number / 2, least);
      return is_more;
    };
    auto shorten = [&](const std::function<bool(fault&)>& change) {
      any = take_while(best, [&](sim_case& x) { return change(x.faults[i]); })
            || any;
    };
    shorten([&](fault& f) { return less(f.times, 1u); });
    shorten([&](fault& f) { return less(f.lasts, least_span); });
    shorten([&](fault& f) { return less(f.nth_event, uint64_t{1}); });
  }
  return any;
}

} // namespace troupe
