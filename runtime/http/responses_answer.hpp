#pragma once

/// What OpenAI's clients get back for /v1/responses: responses of items, and
/// their typed events.

#include "runtime/http/answer_form.hpp"
#include "runtime/text/chat_message.hpp"

#include <functional>
#include <memory>

namespace troupe::http {

struct response_head {
  std::string id; ///< "resp_" and what else is no other answer's.
  std::string model;
  int64_t created = 0;    ///< Unix time, s.
  std::string repeated{}; ///< JSON: what it repeats of its request.
};

/// Hears of a response that has come to its end: its body, and the turn that it
/// is in its conversation.
using response_keeper
  = std::function<void(const std::string& body, chat_message turn)>;

/// `keep` may be empty.
std::unique_ptr<answer_form> make_response_form(response_head head,
                                                response_keeper keep);

/// The answer to DELETE.
std::string render_deleted(const std::string& id);

} // namespace troupe::http
