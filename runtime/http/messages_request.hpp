#pragma once

/// The bodies of Anthropic's requests, read and checked field by field.

#include "runtime/http/openai_request.hpp"

namespace troupe::http {

/// `counting`: nothing is generated, so that its length need not be said.
parsed<chat_request> parse_messages_request(std::string_view body,
                                            bool counting,
                                            const sampling_defaults& defaults,
                                            const request_limits& limits = {});

} // namespace troupe::http
