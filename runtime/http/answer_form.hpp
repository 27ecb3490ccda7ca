#pragma once

/// How the answers to one request are told, whole or as a stream of events.
/// What is told is the same for all forms: see answer_text.hpp.

#include "runtime/http/answer_text.hpp"
#include "runtime/http/openai_error.hpp"
#include "runtime/http/scored_tokens.hpp"
#include "runtime/service.hpp"

#include <optional>

namespace troupe::http {

struct usage {
  uint64_t prompt_tokens = 0;
  uint64_t completion_tokens = 0;
  uint64_t reasoning_tokens = 0; ///< Of the completion's.
  uint64_t cached_tokens = 0;    ///< Of the prompts', found in the cache.
};

/// How an answer ended.
struct answer_end {
  finish_reason why = finish_reason::none;
  std::optional<int32_t> stop_id = {}; ///< One that the request has named.
  std::string stop = {};               ///< A stop string, or empty.
  bool has_called = false;             ///< There were calls of tools.
};

/// One of the answers to a request.
struct whole_answer {
  answer_piece piece;
  answer_end end;
  std::vector<scored_token> scores;
};

/// A part of one of them.
struct answer_chunk {
  uint32_t index = 0; ///< Of the answer.
  answer_piece piece = {};
  bool is_first = false;   ///< Of a chat it says whose turn it is.
  bool with_usage = false; ///< There is a chunk of its own for it.
  /// That of this answer alone, so far; else it is told as null.
  std::optional<usage> used = {};
  std::vector<scored_token> scores = {}; ///< Those that are new.
};

/// The head of a stream of events and the `first` of them, for those in between
/// (nginx among them) to leave as it is.
inline reply event_stream(std::string first) {
  return {200,
          "text/event-stream",
          std::move(first),
          {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}};
}

/// Made for one request; one thread at a time. Of a stream it is asked for
/// `begin`, pieces, a `finish` for each answer, then for `last` or `error`.
class answer_form {
public:
  virtual ~answer_form() = default;

  /// The first events of a stream; or empty. Of `used` the prompt is known.
  virtual std::string begin(const usage& used) = 0;

  virtual std::string piece(const answer_chunk& x) = 0;

  /// The end of one answer, and what is left of it.
  virtual std::string finish(const answer_chunk& x, const answer_end& end) = 0;

  /// The end of all. `wanted`: the request asks for the usage.
  virtual std::string last(const usage& used, bool wanted) = 0;

  /// The end of a stream that fails.
  virtual std::string error(const api_error& why) = 0;

  /// The body of an answer that is no stream.
  virtual std::string
  whole(const std::vector<whole_answer>& all, const usage& used)
    = 0;

  /// What a request hears that is not answered.
  virtual reply refusal(const api_error& why) const = 0;

  /// An event that means nothing, for a stream that says nothing for a while.
  virtual std::string filler() const = 0;
};

} // namespace troupe::http
