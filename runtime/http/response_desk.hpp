#pragma once

/// What is done for /v1/responses: they begin, go on from each other, are kept
/// and found again.

#include "runtime/http/request_desk.hpp"
#include "runtime/http/response_store.hpp"
#include "runtime/http/responses_answer.hpp"

namespace troupe::http {

/// Any thread. All that the constructor is given must outlive it.
class response_desk {
public:
  using holder = std::shared_ptr<key_holder>;

  response_desk(request_desk& desk, const openai_options& options,
                const openai_sources& sources)
    : desk_(desk), options_(options), sources_(sources),
      store_(options.stored) {
  }

  /// As request_desk::start, with `body` still to be read.
  void start(std::string_view body, response_head head, generation_plan plan,
             const request_desk::respond& to);

  /// One that was stored, whole or as its events, as `query` says; of `by`
  /// alone, as is what can be erased.
  reply get(const holder& by, const std::string& id, std::string_view query);
  reply erase(const holder& by, const std::string& id);

private:
  request_desk& desk_;
  const openai_options& options_;
  const openai_sources& sources_;
  response_store store_;
};

} // namespace troupe::http
