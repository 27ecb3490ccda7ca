#include "deploy/server_answer.hpp"

#include "deploy/client_key.hpp"
#include "deploy/one_answer.hpp"

namespace troupe {

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
  std::string headers;
  if (!whom.key.empty())
    headers = "Authorization: Bearer " + whom.key + "\r\n";
  auto answer = ask_once(whom.options, {"GET", path, headers, ""}, time);
  if (!answer)
    return answer.why();
  if (answer->status != 200)
    return failure{errc::refused, "the server answers " + path + " with status "
                                    + std::to_string(answer->status)};
  return std::move(answer->body);
}

} // namespace troupe
