#include "runtime/http/scored_tokens.hpp"

#include <algorithm>

namespace troupe::http {

shown_token token_shower::show_one(const token_score& x) const {
  return {tokens_.decode({&x.id, 1}), std::string{tokens_.bytes_of(x.id)},
          std::max(x.logprob, -9999.0f)};
}

scored_token token_shower::show(int32_t id) {
  const token_score unknown[] = {{id, 0}};
  auto out = show(unknown);
  out.has_score = false;
  return out;
}

scored_token token_shower::show(std::span<const token_score> scores) {
  scored_token out;
  out.own = show_one(scores.front());
  for (auto& x : scores.subspan(1))
    if (x.id >= 0)
      out.best.push_back(show_one(x));
  out.offset = num_characters_;
  // A character counts where it begins.
  auto begins = [](char c) { return (c & 0xc0) != 0x80; };
  if (!skip_special_ || !tokens_.is_special(scores.front().id))
    num_characters_ += std::ranges::count_if(out.own.bytes, begins);
  return out;
}

} // namespace troupe::http
