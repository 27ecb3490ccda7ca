#include "tests/fuzz/target.hpp"

#include "runtime/http/request_reader.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

namespace {

using http::request_reader;
using stage = request_reader::stage;

struct outcome {
  std::vector<std::string> requests;
  stage end = stage::head;
  unsigned status = 0;

  bool operator==(const outcome&) const = default;
};

http::reader_limits small_limits() {
  http::reader_limits limits;
  limits.head.max_bytes = 512;
  limits.body.max_data = 300;
  limits.body.max_extensions = 100;
  limits.body.max_trailers = 100;
  return limits;
}

/// What a server makes of bytes that come in pieces of `size`.
outcome read(input x, size_t size) {
  request_reader reader{small_limits()};
  outcome out;
  for (; !x.empty(); x.remove_prefix(std::min(size, x.size()))) {
    reader.add(x.substr(0, size));
    while (reader.at() == stage::head_read || reader.at() == stage::complete)
      if (reader.at() == stage::head_read) {
        reader.read_body();
      } else {
        auto got = reader.take();
        CHECK(got.body.size() <= 300);
        out.requests.push_back(got.method + " " + got.path + " "
                               + got.authorization + " " + got.body);
      }
    CHECK(reader.body_size() <= 300);
  }
  out.end = reader.at();
  if (out.end == stage::refused) {
    out.status = reader.why().status;
    check_sentence(reader.why().why);
    CHECK(out.status >= 400 && out.status < 600);
  }
  return out;
}

} // namespace

/// Where the network cuts never matters.
void http_request(input x) {
  auto whole = read(x, x.size() + 1);
  CHECK(read(x, 1) == whole);
  CHECK(read(x, 7) == whole);
}

} // namespace troupe::fuzz
