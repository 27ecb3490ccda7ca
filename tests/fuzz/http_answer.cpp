#include "tests/fuzz/target.hpp"

#include "runtime/http/answer_reader.hpp"
#include "runtime/http/event_reader.hpp"
#include "runtime/http/web_address.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

namespace {

struct outcome {
  std::string body;
  std::vector<std::string> events;
  unsigned status = 0;
  bool failed = false;

  bool operator==(const outcome&) const = default;
};

/// What a client makes of an answer that comes in pieces of `size`.
outcome read(input x, size_t size) {
  outcome out;
  http::answer_reader reader;
  http::event_reader events;
  std::string all;
  for (; !x.empty() && !reader.done();
       x.remove_prefix(std::min(size, x.size())))
    if (auto ok = reader.read(x.substr(0, size), all); !ok) {
      check_sentence(ok.why().message);
      return {{}, {}, 0, true};
    }
  out.status = reader.status();
  for (std::string_view rest = all; !rest.empty();
       rest.remove_prefix(std::min(size, rest.size())))
    CHECK(events.read(rest.substr(0, size), out.events));
  out.body = std::move(all);
  return out;
}

} // namespace

void http_answer(input x) {
  check_refusal(http::parse_web_address(x));
  auto whole = read(x, x.size() + 1);
  CHECK(read(x, 1).failed == whole.failed);
  if (!whole.failed)
    CHECK(read(x, 3) == whole);
}

} // namespace troupe::fuzz
