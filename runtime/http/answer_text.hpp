#pragma once

/// From token ids to what a client reads: characters, then thoughts apart from
/// speech, then stop strings, which are looked for in what is said, not in what
/// is thought.

#include "runtime/http/completion_options.hpp"
#include "runtime/text/detokenizer.hpp"
#include "runtime/text/reasoning_splitter.hpp"
#include "runtime/text/stop_strings.hpp"

namespace troupe::http {

/// One answer. The tokenizer must outlive it.
class answer_text {
public:
  /// Without splitters all is content.
  answer_text(const tokenizer& tokens,
              std::optional<reasoning_splitter> splitter,
              std::optional<tool_call_splitter> calls, stop_strings stops,
              const completion_options& options);

  /// Appends what has become certain; after a stop nothing.
  void push(int32_t id, answer_piece& to);

  /// Appends the rest: there are no more tokens.
  void finish(answer_piece& to);

  /// Whether a stop string has ended it, or the only call that is wanted.
  bool stopped() const {
    return stops_.stopped_by()
           || (one_call_ && calls_ && calls_->num_whole() > 0);
  }

  /// The stop string that ended it; or empty.
  std::string stopped_at() const {
    return stops_.stopped_by() ? stops_.stopped_at() : std::string{};
  }

  bool has_called() const {
    return calls_ && calls_->num_calls() > 0;
  }

  /// Tokens before the first that was spoken, </think> among them.
  uint64_t reasoning_tokens() const {
    return thought_ ? num_thought_ : 0;
  }

private:
  void append(answer_piece piece, answer_piece& to);
  void add(spoken_piece piece, answer_piece& to);

  const tokenizer* tokens_;
  detokenizer characters_;
  std::optional<reasoning_splitter> splitter_;
  std::optional<tool_call_splitter> calls_;
  stop_strings stops_;
  bool one_call_;
  bool tell_thought_;
  uint32_t min_tokens_;      ///< Before so many no stop is looked for.
  uint64_t num_pushed_ = 0;  ///< Tokens.
  uint64_t num_thought_ = 0; ///< Tokens without content so far.
  bool thought_ = false;     ///< There was reasoning.
  bool spoke_ = false;       ///< There was content.
};

inline bool is_empty(const answer_piece& piece) {
  return piece.content.empty() && piece.reasoning.empty()
         && piece.calls.empty();
}

/// Appends `more` to `all`, in which pieces of one call become one.
void append_calls(std::vector<tool_call_piece>& all,
                  std::vector<tool_call_piece> more);

} // namespace troupe::http
