#include "runtime/http/response_desk.hpp"

#include "runtime/http/api_refusals.hpp"
#include "runtime/http/responses_request.hpp"

namespace troupe::http {

void response_desk::start(std::string_view body, response_head head,
                          generation_plan plan,
                          const request_desk::respond& to) {
  auto read = parse_response_request(body, options_.defaults, options_.limits);
  if (auto* error = std::get_if<api_error>(&read))
    return desk_.refuse(plan, *error, to);
  auto& asked = std::get<response_request>(read);
  std::shared_ptr<const stored_response> before;
  if (!asked.previous.empty()) {
    before = store_.find(plan.asked_by->id, asked.previous, sources_.now());
    if (!before)
      return desk_.refuse(plan, unknown_response(asked.previous, true), to);
  }
  const std::vector<chat_message> none;
  if (auto error = join_turns(before ? before->turns : none, asked))
    return desk_.refuse(plan, *error, to);
  auto& turns = asked.asked.messages;
  response_keeper keep;
  if (asked.store && store_.is_on())
    keep = [this, by = plan.asked_by->id, id = head.id,
            turns](told_response told) {
      auto all = turns;
      all.push_back(std::move(told.turn));
      store_.put(by, id,
                 {std::move(told.body), std::move(all), std::move(told.pieces)},
                 sources_.now());
    };
  head.repeated = asked.repeated;
  plan.form = make_response_form(std::move(head), std::move(keep));
  if (!asked.instructions.empty())
    turns.insert(turns.begin(),
                 {chat_role::system, std::move(asked.instructions), {}});
  desk_.start(std::move(asked.asked), std::move(plan), to);
}

reply response_desk::get(const holder& by, const std::string& id,
                         std::string_view query) {
  auto wish = parse_replay(query);
  if (auto* error = std::get_if<api_error>(&wish))
    return to_reply(*error);
  auto found = by ? store_.find(by->id, id, sources_.now()) : nullptr;
  if (!found)
    return to_reply(unknown_response(id, false));
  auto& how = std::get<response_replay>(wish);
  if (how.stream)
    return event_stream(replay(found->body, found->pieces, how.first));
  reply x;
  x.body = found->body;
  return x;
}

reply response_desk::erase(const holder& by, const std::string& id) {
  if (!by || !store_.erase(by->id, id, sources_.now()))
    return to_reply(unknown_response(id, false));
  reply x;
  x.body = render_deleted(id);
  return x;
}

} // namespace troupe::http
