#pragma once

/// What Anthropic's clients get back: messages of content blocks.

#include "runtime/http/answer_form.hpp"

#include <memory>

namespace troupe::http {

/// `id`: "msg_" and what else is no other answer's; `request_id`: what errors
/// call the request.
std::unique_ptr<answer_form>
make_messages_form(std::string id, std::string model, std::string request_id);

/// {"type":"error","error":{"type","message"},"request_id"}; empty: null.
reply to_messages_reply(const api_error& why, const std::string& request_id);

/// The answer to POST /v1/messages/count_tokens.
std::string render_token_count(size_t count);

} // namespace troupe::http
