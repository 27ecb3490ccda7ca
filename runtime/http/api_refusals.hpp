#pragma once

/// Refusals of requests in the words of OpenAI's API, which clients look for.

#include "runtime/http/completion_options.hpp"
#include "runtime/http/key_quota.hpp"
#include "runtime/http/message.hpp"
#include "runtime/http/openai_error.hpp"
#include "runtime/request_rules.hpp"

#include <optional>
#include <string>

namespace troupe::http {

/// Another model than the one that is served.
api_error unknown_model(const std::string& name);

api_error wrong_key(const request_head& what);

/// A key has asked for as much as it may in a minute.
api_error over_quota(const key_quota::refusal& why);

/// The server ends, and others are to be asked.
api_error retiring();
api_error took_too_long();

/// No such response, or not one of this key's. `previous`: it was to go on.
api_error unknown_response(const std::string& id, bool previous);

/// No such path, or not for that method.
api_error unknown_route(const request_head& what, bool wrong_method);

/// The chat template has no switch like `param`.
api_error no_switch(const std::string& param);

/// What settle() has refused; `name` is the field that holds the prompt.
api_error in_openai_words(const request_refusal& x, const std::string& name);

/// Too long as settle() says it, where no more is known of the prompt than the
/// `least` tokens that it has.
api_error surely_too_long(size_t least, uint32_t context,
                          const completion_options& options,
                          const std::string& name);

/// More log-probabilities of prompts than a request may have.
api_error many_scores(size_t count, size_t limit);

/// So many scores of generated tokens take more memory than they may, if they
/// are not told as they come.
std::optional<api_error> many_held(const completion_options& x, size_t count,
                                   const request_limits& limits);

/// Ids of options beyond the vocabulary; those of a prompt settle() looks at.
std::optional<api_error> unknown_ids(const completion_options& x,
                                     uint32_t vocab_size);

} // namespace troupe::http
