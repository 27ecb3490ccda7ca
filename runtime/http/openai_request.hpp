#pragma once

/// The bodies of OpenAI's requests, read and checked field by field.

#include "runtime/http/completion_options.hpp"
#include "runtime/http/openai_error.hpp"
#include "runtime/text/chat.hpp"

#include <cstddef>

namespace troupe::http {

struct chat_request {
  completion_options options;
  std::vector<chat_message> messages; ///< At least one.
  /// chat_template_kwargs: variables of the template and their values.
  std::vector<std::pair<std::string, bool>> switches;
  /// DeepSeek's `thinking`, whatever the template calls it.
  std::optional<bool> thinking;
  /// Likewise, where the template has a say in it and nothing else says so.
  std::optional<bool> rather_thinking;
  bool add_generation_prompt = true;
  bool go_on = false; ///< The last message is the beginning of the answer.
  std::vector<chat_tool> tools; ///< Those that may be called.
  bool must_call = false;       ///< One of them has to be.
  std::string forced_call;      ///< The one that has to be; or empty.
  bool json_arguments = false;  ///< Those of calls are always an object.
};

struct text_prompt {
  std::string text;
  std::vector<int32_t> ids; ///< Instead of `text`, if not empty.
};

struct text_request {
  completion_options options;
  bool add_bos = true; ///< In front of texts, if the model has it so.
  std::vector<text_prompt> prompts; ///< At least one.
};

parsed<chat_request> parse_chat_request(std::string_view body,
                                        const sampling_defaults& defaults,
                                        const request_limits& limits = {});

parsed<text_request> parse_text_request(std::string_view body,
                                        const sampling_defaults& defaults,
                                        const request_limits& limits = {});

} // namespace troupe::http
