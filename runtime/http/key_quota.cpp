#include "runtime/http/key_quota.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace troupe::http {

namespace {

constexpr double minute = 60; // s

/// As OpenAI writes it: 6m0s, 1.5s, 20ms.
std::string written(double seconds) {
  auto ms = std::llround(std::ceil(seconds * 1000 - 1e-6));
  if (ms < 1000)
    return std::to_string(ms) + "ms";
  char text[48];
  if (ms < 60'000)
    std::snprintf(text, sizeof text, "%gs", static_cast<double>(ms) / 1000);
  else
    std::snprintf(text, sizeof text, "%lldm%llds", ms / 60'000,
                  ms % 60'000 / 1000);
  return text;
}

void add_headers(const char* of, const minute_bucket& x,
                 minute_bucket::instant now, header_list& to) {
  if (x.limit() == 0)
    return;
  auto name = [of](const char* what) {
    return std::string{"x-ratelimit-"} + what + "-" + of;
  };
  auto left = static_cast<uint64_t>(std::max(0.0, x.left(now)));
  to.emplace_back(name("limit"), std::to_string(x.limit()));
  to.emplace_back(name("remaining"), std::to_string(left));
  to.emplace_back(name("reset"),
                  written(x.until(static_cast<double>(x.limit()), now)));
}

} // namespace

minute_bucket::minute_bucket(uint64_t per_minute)
  : per_minute_(static_cast<double>(per_minute)), left_(per_minute_) {
}

minute_bucket::minute_bucket(uint64_t per_minute, const minute_bucket& before)
  : minute_bucket(per_minute) {
  if (before.limit() == 0)
    return;
  left_ = std::min(per_minute_, before.left_);
  last_ = before.last_;
}

void minute_bucket::take(double count, instant now) {
  left_ = left(now) - count;
  last_ = std::max(now, last_.value_or(now));
}

void minute_bucket::give_back(double count, instant now) {
  take(-count, now);
  left_ = std::min(left_, per_minute_);
}

double minute_bucket::left(instant now) const {
  if (!last_ || now <= *last_)
    return left_;
  auto seconds = std::chrono::duration<double>(now - *last_).count();
  return std::min(per_minute_, left_ + seconds * per_minute_ / minute);
}

double minute_bucket::until(double count, instant now) const {
  auto missing = count - left(now);
  return per_minute_ > 0 && missing > 0 ? missing * minute / per_minute_ : 0;
}

key_quota::key_quota(quota_limits limits)
  : limits_(limits), requests_(limits.requests_per_minute),
    tokens_(limits.tokens_per_minute) {
}

key_quota::key_quota(quota_limits limits, const key_quota& before)
  : limits_(limits),
    requests_(limits.requests_per_minute, before.requests_left()),
    tokens_(limits.tokens_per_minute, before.tokens_left()) {
}

std::optional<key_quota::refusal> key_quota::admit(instant now) {
  std::lock_guard guard{mutex_};
  auto refuse = [now](const char* of, const minute_bucket& x) {
    auto wait = std::ceil(x.until(1, now));
    return refusal{of, x.limit(), std::max<uint64_t>(1, uint64_t(wait))};
  };
  if (requests_.limit() > 0 && requests_.left(now) < 1)
    return refuse("requests", requests_);
  if (tokens_.limit() > 0 && tokens_.left(now) < 1)
    return refuse("tokens", tokens_);
  requests_.take(1, now);
  return std::nullopt;
}

void key_quota::take_tokens(size_t count, instant now) {
  std::lock_guard guard{mutex_};
  tokens_.take(static_cast<double>(count), now);
}

void key_quota::give_back(size_t num_tokens, instant now) {
  std::lock_guard guard{mutex_};
  requests_.give_back(1, now);
  tokens_.give_back(static_cast<double>(num_tokens), now);
}

header_list key_quota::headers(instant now) const {
  std::lock_guard guard{mutex_};
  header_list out;
  add_headers("requests", requests_, now, out);
  add_headers("tokens", tokens_, now, out);
  return out;
}

} // namespace troupe::http
