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

/// A response that has come to its end.
struct told_response {
  std::string body;             ///< JSON.
  std::vector<uint32_t> pieces; ///< See `replay`.
  chat_message turn;            ///< That it is in its conversation.
};

using response_keeper = std::function<void(told_response what)>;

/// `keep` may be empty.
std::unique_ptr<answer_form> make_response_form(response_head head,
                                                response_keeper keep);

/// The events of a response that has ended, as its stream had them or would
/// have had them, from the number `first` on. `pieces`: bytes of each piece in
/// which the texts of its output came, one after the other.
std::string replay(const std::string& body, const std::vector<uint32_t>& pieces,
                   uint64_t first);

/// The answer to DELETE.
std::string render_deleted(const std::string& id);

} // namespace troupe::http
