#include "runtime/batching/decode_times.hpp"

#include <chrono>

namespace troupe {

namespace {

/// Steps before the first answer.
constexpr double enough = 8;

} // namespace

decode_times::load decode_times::load_of(const batch& rows) {
  load out;
  for (auto& x : rows.sequences) {
    if (x.tokens.size() != 1)
      return {};
    ++out.requests;
    out.kv_tokens += x.first_position + 1;
  }
  return out;
}

void decode_times::add(const load& x, clock::instant::duration took) {
  if (x.requests > 0)
    fit_.add({1, double(x.requests), double(x.kv_tokens)},
             std::chrono::duration<double>(took).count());
}

std::optional<decode_times::prices> decode_times::per_part() const {
  if (fit_.weight() < enough)
    return std::nullopt;
  auto& [step, request, kv_token, none] = fit_.per_part();
  return prices{step, {request, kv_token}};
}

} // namespace troupe
