#pragma once

/// OpenAI's interface as a client that measures speaks it: requests that
/// stream, and what their events say.

#include "runtime/bench/load_plan.hpp"
#include "runtime/bench/prompt_writer.hpp"
#include "runtime/http/client.hpp"

#include <string>
#include <string_view>

namespace troupe::bench {

enum class endpoint : uint8_t { text, chat };

struct call_form {
  endpoint to = endpoint::text;
  std::string model;
  std::string key;         ///< Of the API; may be empty.
  uint32_t vocab_size = 0; ///< Prompts are ids, if above 0; text only.
  bool ignore_eos = false;
  std::string extra; ///< An object whose fields requests have as well.
};

/// Returns why `extra` is no JSON object, or nothing.
std::string wrong_extra(const std::string& extra);

http::outgoing_call make_call(const call_form& form, const prompt_writer& words,
                              uint32_t number, const planned_request& x);

/// What an event of a stream says.
struct stream_event {
  bool has_tokens = false;
  bool is_end = false; ///< The one that says [DONE].
  bool is_malformed = false;
  std::optional<uint32_t> prompt_tokens;
  std::optional<uint32_t> output_tokens;
  std::string error; ///< Not empty: the request has failed.
};

stream_event read_event(std::string_view data);

/// The sentence of an error's body, or its beginning.
std::string error_sentence(std::string_view body);

} // namespace troupe::bench
