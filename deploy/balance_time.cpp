#include "deploy/balance_time.hpp"

#include "runtime/duration.hpp"

namespace troupe {

namespace {

constexpr std::chrono::milliseconds least{100};

} // namespace

result<std::chrono::milliseconds> read_balance_time(const std::string& flag,
                                                    const std::string& text) {
  auto time = parse_duration(text);
  if (!time)
    return failure{errc::invalid_input,
                   flag + " " + std::string{duration_form}};
  auto out = std::chrono::ceil<std::chrono::milliseconds>(*time);
  if (out < least)
    return failure{errc::invalid_input, flag + " is 100ms at least"};
  return out;
}

} // namespace troupe
