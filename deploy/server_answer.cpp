#include "deploy/server_answer.hpp"

#include "deploy/client_key.hpp"

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

void server_flags::add_to(CLI::App& command) {
  command.add_option("--url", url, "The server's address")
    ->capture_default_str();
  command.add_option("--api-key-file", key_file,
                     "The API's key is its first line; else TROUPE_API_KEY or "
                     "OPENAI_API_KEY");
  command.add_option("--ssl-ca-certs", authorities,
                     "PEM file: whom TLS trusts (default: the system's)");
  command.add_flag("--insecure", trust_anybody, "TLS with whoever answers");
}

result<asked_server> find_server(const server_flags& flags) {
  auto server = http::parse_web_address(flags.url);
  if (!server)
    return server.why();
  auto key = read_client_key(flags.key_file);
  if (!key)
    return key.why();
  return asked_server{
    {*server, flags.authorities, flags.trust_anybody, std::chrono::seconds{10}},
    std::move(*key)};
}

result<std::string> ask_server(const asked_server& whom,
                               const std::string& path, const clock& time) {
  auto client = http::client::open(whom.options, time);
  if (!client)
    return client.why();
  auto answer = std::make_shared<one_answer>(**client, path);
  std::string headers;
  if (!whom.key.empty())
    headers = "Authorization: Bearer " + whom.key + "\r\n";
  (*client)->call({"GET", path, headers, ""}, answer);
  (*client)->run();
  return answer->get();
}

} // namespace troupe
