#include "deploy/drain_command.hpp"

#include "deploy/end_signals.hpp"
#include "deploy/one_answer.hpp"
#include "deploy/report.hpp"
#include "runtime/clock.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>

namespace troupe {

namespace {

using nlohmann::json;

constexpr const char* path = "/cluster/drain";
constexpr std::chrono::milliseconds look_interval{250};

http::client_options server_at(const std::string& socket) {
  http::client_options out;
  out.server.host = "localhost";
  out.unix_path = socket;
  out.patience = std::chrono::seconds{10};
  return out;
}

std::string text_in(const json& x, const char* key) {
  auto i = x.is_object() ? x.find(key) : x.end();
  return x.is_object() && i != x.end() && i->is_string() ? i->get<std::string>()
                                                         : std::string{};
}

json member_of(const std::string& text, const char* key) {
  auto x = json::parse(text, nullptr, false);
  return x.is_object() && x.contains(key) ? x[key] : json{};
}

/// Returns what the server answers with `status`. Errors: what it says instead.
result<std::string> ask(const http::client_options& server,
                        const http::outgoing_call& what, unsigned status,
                        const clock& time) {
  auto answer = ask_once(server, what, time);
  if (!answer)
    return answer.why();
  if (answer->status == status)
    return answer->body;
  auto why = text_in(member_of(answer->body, "error"), "message");
  return failure{errc::refused, why.empty() ? "the server answers with status "
                                                + std::to_string(answer->status)
                                            : why};
}

} // namespace

int drain(const drain_flags& flags) {
  end_signals signals;
  system_clock time;
  auto server = server_at(flags.admin_socket);
  json wish{{"node", flags.node}, {"timeout_s", flags.timeout_s}};
  if (auto ok = ask(server, {"POST", path, "", wish.dump()}, 202, time); !ok)
    return report(ok.why());
  std::string said;
  for (;;) {
    auto answer = ask_once(server, {"GET", path, "", ""}, time);
    if (!answer)
      return report(answer.why());
    auto x = member_of(answer->body, "drain");
    if (text_in(x, "node") != flags.node)
      return report({errc::refused, "another node is leaving by now"});
    auto now = text_in(x, "sentence"), state = text_in(x, "state");
    if (state == "stays" || state == "lost")
      return report({errc::refused, now});
    if (now != said)
      std::fprintf(stderr, "%s\n", now.c_str());
    said = now;
    if (state == "left")
      return 0;
    if (signals.wait_for(look_interval))
      return report({errc::cancelled, "node " + flags.node
                                        + " goes on leaving, and nobody "
                                          "watches"});
  }
}

int undrain(const drain_flags& flags) {
  system_clock time;
  auto server = server_at(flags.admin_socket);
  auto before = ask_once(server, {"GET", path, "", ""}, time);
  if (!before)
    return report(before.why());
  if (text_in(member_of(before->body, "drain"), "node") != flags.stays)
    return report({errc::refused, "node " + flags.stays + " is not leaving"});
  auto answer = ask(server, {"DELETE", path, "", ""}, 200, time);
  if (!answer)
    return report(answer.why());
  auto now = text_in(member_of(*answer, "drain"), "sentence");
  std::fprintf(stderr, "%s\n", now.c_str());
  return 0;
}

} // namespace troupe
