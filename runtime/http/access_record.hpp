#pragma once

/// One exchange as the operator sees it: the name that client and log know it
/// by, and a line at its end.

#include "runtime/http/exchange.hpp"
#include "runtime/http/message.hpp"
#include "runtime/log.hpp"

#include <chrono>

namespace troupe::http {

class access_record {
public:
  using instant = std::chrono::steady_clock::time_point;

  /// `id`: X-Request-Id, the client's own if it gave one that can be told.
  access_record(std::string id, instant begin);

  /// Once it is known what is asked for. Returns its id from here on.
  const std::string& is(const request_head& head);

  /// Whether there is something to tell.
  bool is_known() const {
    return status_ != 0 || !method_.empty();
  }

  const std::string& id() const {
    return id_;
  }

  /// The status of the answer's head.
  void answered(unsigned status) {
    status_ = status;
  }

  /// The tokens of prompt and answer, if there were any.
  void took(const std::optional<token_count>& tokens) {
    tokens_ = tokens;
  }

  /// It has ended before its answer had.
  void cut() {
    is_cut_ = true;
  }

  void sent(size_t bytes) {
    bytes_ += bytes;
  }

  /// E.g. `10.1.2.3 "GET /health" 200, 161 bytes in 0.002 s, request 1f0c`.
  std::string line(const std::string& from, instant end) const;

  /// The same, each by its name.
  std::vector<log_field> fields(const std::string& from, instant end) const;

private:
  std::string id_;
  instant begin_;
  std::string method_;
  std::string path_;
  std::optional<token_count> tokens_;
  unsigned status_ = 0;
  bool is_cut_ = false;
  uint64_t bytes_ = 0;
};

} // namespace troupe::http
