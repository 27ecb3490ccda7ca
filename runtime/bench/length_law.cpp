#include "runtime/bench/length_law.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

namespace troupe::bench {

namespace {

constexpr double max_sigma = 10;

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T out{};
  auto end = text.data() + text.size();
  auto [stop, ec] = std::from_chars(text.data(), end, out);
  if (ec != std::errc{} || stop != end)
    return std::nullopt;
  return out;
}

failure bad(std::string_view text) {
  return {errc::invalid_input,
          "'" + std::string{text}
            + "' is no length: write 512, 100-900 or lognormal:512,0.8 (median "
              "and sigma), of 1 to "
            + std::to_string(max_length) + " tokens"};
}

bool is_length(std::optional<uint32_t> x) {
  return x && *x >= 1 && *x <= max_length;
}

} // namespace

result<length_law> length_law::parse(std::string_view text) {
  constexpr std::string_view lognormal = "lognormal:";
  if (text.starts_with(lognormal)) {
    auto rest = text.substr(lognormal.size());
    auto comma = std::min(rest.find(','), rest.size());
    auto median = parse_number<uint32_t>(rest.substr(0, comma));
    auto sigma
      = parse_number<double>(rest.substr(std::min(comma + 1, rest.size())));
    if (!is_length(median) || !sigma || !(*sigma >= 0 && *sigma <= max_sigma))
      return bad(text);
    length_law out{1};
    out.median_ = *median;
    out.sigma_ = *sigma;
    return out;
  }
  auto dash = text.find('-');
  auto least = parse_number<uint32_t>(text.substr(0, dash));
  auto most = dash == text.npos ? least
                                : parse_number<uint32_t>(text.substr(dash + 1));
  if (!is_length(least) || !is_length(most) || *least > *most)
    return bad(text);
  length_law out{*least};
  out.most_ = *most;
  return out;
}

uint32_t length_law::draw(chance& from) const {
  if (median_ == 0)
    return uint32_t(from.whole(least_, most_));
  auto x = std::round(median_ * std::exp(sigma_ * from.normal()));
  return uint32_t(std::clamp(x, 1.0, double(max_length)));
}

} // namespace troupe::bench
