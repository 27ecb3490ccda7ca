#include "runtime/batching/rank_times.hpp"

#include <chrono>

namespace troupe {

namespace {

/// Steps before the first answer.
constexpr double enough = 8, enough_prompts = 4;

} // namespace

rank_times::load rank_times::load_of(const batch& rows) {
  load out;
  for (auto& x : rows.sequences) {
    auto n = double(x.tokens.size());
    if (x.tokens.size() == 1) {
      ++out.requests;
      out.kv_tokens += x.first_position + 1;
    } else {
      out.prompt_tokens += x.tokens.size();
      out.pairs += n * (x.first_position + (n + 1) / 2);
    }
  }
  return out;
}

void rank_times::add(const load& x, clock::instant::duration took) {
  auto seconds = std::chrono::duration<double>(took).count();
  std::array<double, 4> decoded{1, double(x.requests), double(x.kv_tokens)};
  if (x.prompt_tokens == 0)
    return decoding_.add(decoded, seconds);
  decoded[0] = 0;
  prompts_.add({1, double(x.prompt_tokens), x.pairs},
               seconds - decoding_.predict(decoded));
}

std::optional<rank_times::decode_part> rank_times::decoding() const {
  if (decoding_.weight() < enough)
    return std::nullopt;
  auto& [step, request, kv_token, none] = decoding_.per_part();
  return decode_part{step, {request, kv_token}};
}

std::optional<balance::prefill_prices> rank_times::prompts() const {
  if (prompts_.weight() < enough_prompts)
    return std::nullopt;
  auto& [step, token, pair, none] = prompts_.per_part();
  return balance::prefill_prices{token, pair, 0};
}

} // namespace troupe
