#include "runtime/bench/goodput.hpp"

#include "runtime/duration.hpp"
#include "runtime/split_list.hpp"

namespace troupe::bench {

namespace {

failure bad(std::string_view part) {
  return {
    errc::invalid_input,
    "'" + std::string{part}
      + "' is no limit of goodput: write ttft, tpot or e2el once each, as "
        "in ttft:500ms,tpot:50ms"};
}

} // namespace

result<goodput_limits> goodput_limits::parse(std::string_view text) {
  goodput_limits out;
  for (auto part : split_list(text, ", ")) {
    auto colon = part.find(':');
    auto name = part.substr(0, colon);
    auto* to = name == "ttft"   ? &out.ttft
               : name == "tpot" ? &out.tpot
               : name == "e2el" ? &out.e2el
                                : nullptr;
    if (!to || *to || colon == part.npos)
      return bad(part);
    std::string value{part.substr(colon + 1)};
    auto time = parse_duration(value);
    if (!time)
      time = parse_duration(value + "ms");
    if (!time)
      return bad(part);
    *to = double(time->count()) * 1e-9;
  }
  return out;
}

bool goodput_limits::met_by(const call_record& x) const {
  if (!x.ok() || !x.first)
    return false;
  auto tokens = x.per_token();
  return (!ttft || x.first_after() <= *ttft)
         && (!tpot || !tokens || *tokens <= *tpot)
         && (!e2el || x.latency() <= *e2el);
}

} // namespace troupe::bench
