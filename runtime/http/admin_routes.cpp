#include "runtime/http/admin_routes.hpp"

#include "runtime/json/dump_text.hpp"
#include "runtime/json/field_reader.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using nlohmann::ordered_json;

} // namespace

reply with_body(std::string body) {
  reply out;
  out.body = std::move(body);
  return out;
}

std::string render_faults(const std::vector<std::string>& active) {
  return dump_text({{"active", active}});
}

std::string render_log_level(log_level level) {
  return dump_text({{"level", to_string(level)}});
}

parsed<drain_wish> parse_drain_body(std::string_view body) {
  auto in = field_reader::parse("the body", body);
  if (!in)
    return bad_parameter("", in.why().message, "invalid_json");
  drain_wish out;
  out.node = in->text("node");
  out.limit = std::chrono::seconds{in->integer_or("timeout_s", 1, 86'400, 60)};
  in->refuse_unknown({});
  if (!in->trouble().empty())
    return bad_parameter("", in->trouble());
  return out;
}

std::string render_drain(const std::optional<drain_progress>& x) {
  if (!x)
    return dump_text({{"drain", nullptr}});
  ordered_json out{{"node", x->node},
                   {"state", to_string(x->state)},
                   {"experts", x->num_experts},
                   {"experts_moved", x->experts_moved},
                   {"requests_left", x->requests_left},
                   {"sentence", sentence(*x)}};
  return dump_text({{"drain", std::move(out)}});
}

namespace {

reply refusal_of(const failure& why) {
  auto error = to_api_error(why);
  if (why.code == errc::refused)
    error.status = 409;
  return to_reply(error);
}

} // namespace

reply drain_answer(const drain_wish& wish, const result<void>& begun) {
  if (!begun)
    return refusal_of(begun.why());
  reply out;
  out.status = 202;
  out.body = dump_text({{"node", wish.node}});
  return out;
}

reply undrain_answer(const result<void>& done,
                     const std::optional<drain_progress>& now) {
  return done ? with_body(render_drain(now)) : refusal_of(done.why());
}

parsed<log_level> parse_log_level_body(std::string_view body) {
  auto in = field_reader::parse("the body", body);
  if (!in)
    return bad_parameter("", in.why().message, "invalid_json");
  auto level = parse_log_level(in->text("level"));
  if (!level)
    return bad_parameter("level", "Invalid value for 'level': must be error, "
                                  "warning, info or debug.");
  return *level;
}

} // namespace troupe::http
