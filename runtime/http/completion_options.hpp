#pragma once

/// What both kinds of request have: how tokens are chosen, where an answer
/// ends, and how it is sent. What others know and is not done here is refused
/// by name when it asks for something; fields that nobody knows are ignored, as
/// OpenAI's own server does.

#include "runtime/grammar/known_grammars.hpp"
#include "runtime/json/field_reader.hpp"
#include "runtime/request_rules.hpp"

#include <cstddef>
#include <memory>

namespace troupe::http {

/// Whose form a request has: OpenAI's chats and text completions, Anthropic's
/// messages, OpenAI's responses.
enum class completion_kind : uint8_t { chat, text, messages, response };

/// What holds if a request does not say otherwise: generation_config.json.
using sampling_defaults = sampling_params;

struct request_limits {
  size_t max_depth = 32;       ///< Of a body's JSON.
  size_t max_values = 1 << 18; ///< JSON values of a body.
  size_t max_keys = 4096;      ///< Of each of its objects.
  size_t max_messages = 4096;
  size_t max_tool_calls = 128; ///< Of a message.
  size_t max_tools = 128;
  size_t max_stops = 16;
  size_t max_stop_bytes = 256; ///< Of each.
  size_t max_stop_ids = troupe::max_stop_ids;
  size_t max_biases = troupe::max_biases;
  uint32_t max_top_scores = max_scores - 1; ///< Of others than the token.
  size_t max_grammar_bytes = max_grammar_source;
  uint32_t max_n = 8;       ///< Answers to a prompt.
  size_t max_answers = 128; ///< Of all prompts together.
  /// Of prompts that are said again, counted for every answer.
  size_t max_prompt_scores = 1 << 19;
  /// Bytes of the scores of generated tokens, where they are kept until the
  /// answer is whole.
  size_t max_held_scores = 512 << 20;
  bool priorities = false; ///< Requests may say whose turn it is first.
  /// What was asked for before; common to all copies.
  std::shared_ptr<known_grammars> grammars = std::make_shared<known_grammars>();
};

/// Bytes of a salt that a request names.
inline constexpr size_t max_asked_salt = 64;

struct completion_options {
  std::string model;
  sampling_params sampling; ///< Without the seed.
  std::optional<uint64_t> seed;
  uint32_t num_answers = 1; ///< To each prompt.
  uint32_t max_tokens = 0;  ///< 0: not given.
  /// How many there are at most where max_tokens is not given and the context
  /// has room for them; 0: as many as it has room for.
  uint32_t usual_tokens = 0;
  bool no_tokens = false; ///< Nothing but the prompt is wanted.
  uint32_t min_tokens = 0;
  bool ignore_eos = false;
  std::vector<int32_t> stop_ids;
  std::vector<std::string> stop;
  bool include_stop = false; ///< What ended it is part of the answer.
  bool tell_thought = true;  ///< What is thought is part of the answer.
  bool skip_special = true;  ///< Special tokens are not part of the text.
  bool echo = false;         ///< The prompt is. Of text alone.
  uint32_t num_scores = 0;   ///< As in generation_request.
  bool one_call = false;     ///< It ends with the first call of a tool.
  grammar_source grammar;    ///< Of its text.
  std::string cache_salt;    ///< Who gives another finds nothing of its prompt.
  int32_t priority = 0;      ///< As in generation_request.
  bool stream = false;
  bool include_usage = false; ///< Of a stream: a last chunk with the usage.
  bool running_usage = false; ///< And in each chunk that of its answer so far.
};

/// What is wrong is told by `in`.
completion_options read_options(field_reader& in, completion_kind kind,
                                const sampling_defaults& defaults,
                                const request_limits& limits);

} // namespace troupe::http
