#include "deploy/server_answer.hpp"

namespace troupe {

namespace {

/// Of one call, whose answer ends the client's run.
class one_answer final : public http::call_listener {
public:
  one_answer(http::client& of, std::string path)
    : of_(of), path_(std::move(path)) {
  }

  bool on_body(unsigned, std::string_view bytes) override {
    text_ += bytes;
    return text_.size() < max_answer;
  }

  void on_end(http::call_end end, unsigned status, std::string why) override {
    if (end != http::call_end::whole)
      result_ = failure{errc::io, "the server does not answer: " + why};
    else if (status != 200)
      result_ = failure{errc::refused, "the server answers " + path_
                                         + " with status "
                                         + std::to_string(status)};
    else
      result_ = std::move(text_);
    of_.stop();
  }

  const result<std::string>& get() const {
    return result_;
  }

private:
  static constexpr size_t max_answer = 64 << 20;

  http::client& of_;
  const std::string path_;
  std::string text_;
  result<std::string> result_ = failure{errc::io, "the server sent too much"};
};

} // namespace

result<std::string> ask_server(const http::client_options& options,
                               const std::string& key, const std::string& path,
                               const clock& time) {
  auto client = http::client::open(options, time);
  if (!client)
    return client.why();
  auto answer = std::make_shared<one_answer>(**client, path);
  std::string headers;
  if (!key.empty())
    headers = "Authorization: Bearer " + key + "\r\n";
  (*client)->call({"GET", path, headers, ""}, answer);
  (*client)->run();
  return answer->get();
}

} // namespace troupe
