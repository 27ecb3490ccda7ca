#pragma once

/// The bodies of OpenAI's requests, read and checked field by field. What is
/// not supported is refused by name when it asks for something, and ignored
/// when it asks for nothing; fields that nobody knows are ignored, as OpenAI's
/// own server does.

#include "runtime/http/openai_error.hpp"
#include "runtime/service.hpp"
#include "runtime/text/chat.hpp"

#include <cstddef>

namespace troupe::http {

/// What holds if a request does not say otherwise: generation_config.json.
struct sampling_defaults {
  float temperature = 1;
  float top_p = 1;
  uint32_t top_k = 0;
};

/// What both kinds of request have.
struct completion_options {
  std::string model;
  sampling_params sampling; ///< Without the seed.
  std::optional<uint64_t> seed;
  uint32_t max_tokens = 0; ///< 0: not given.
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false; ///< Of a stream: a last chunk with the usage.
};

struct chat_request {
  completion_options options;
  std::vector<chat_message> messages; ///< At least one.
  /// chat_template_kwargs: variables of the template and their values.
  std::vector<std::pair<std::string, bool>> switches;
};

struct text_request {
  completion_options options;
  std::string text;
  std::vector<int32_t> ids; ///< The prompt instead of `text`, if not empty.
};

struct request_limits {
  size_t max_values = 1 << 18; ///< JSON values of a body.
  size_t max_keys = 4096;      ///< Of each of its objects.
  size_t max_messages = 4096;
  size_t max_tool_calls = 128; ///< Of a message.
  size_t max_stops = 16;
  size_t max_stop_bytes = 256; ///< Of each.
};

parsed<chat_request> parse_chat_request(std::string_view body,
                                        const sampling_defaults& defaults,
                                        const request_limits& limits = {});

parsed<text_request> parse_text_request(std::string_view body,
                                        const sampling_defaults& defaults,
                                        const request_limits& limits = {});

} // namespace troupe::http
