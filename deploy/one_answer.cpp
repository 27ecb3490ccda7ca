#include "deploy/one_answer.hpp"

namespace troupe {

namespace {

/// Of one call, whose answer ends the client's run.
class one_answer final : public http::call_listener {
public:
  explicit one_answer(http::client& of) : of_(of) {
  }

  bool on_body(unsigned, std::string_view bytes) override {
    answer_.body += bytes;
    return answer_.body.size() < max_answer;
  }

  void on_end(http::call_end end, unsigned status, std::string why) override {
    answer_.status = status;
    if (end == http::call_end::whole)
      result_ = std::move(answer_);
    else if (end != http::call_end::dropped)
      result_ = failure{errc::io, "the server does not answer: " + why};
    of_.stop();
  }

  const result<http_answer>& get() const {
    return result_;
  }

private:
  static constexpr size_t max_answer = 64 << 20;

  http::client& of_;
  http_answer answer_;
  result<http_answer> result_ = failure{errc::io, "the server sent too much"};
};

} // namespace

result<http_answer> ask_once(const http::client_options& options,
                             http::outgoing_call what, const clock& time) {
  auto client = http::client::open(options, time);
  if (!client)
    return client.why();
  auto answer = std::make_shared<one_answer>(**client);
  (*client)->call(std::move(what), answer);
  (*client)->run();
  return answer->get();
}

} // namespace troupe
