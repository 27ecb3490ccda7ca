#pragma once

/// A prompt on its way: tokens of the form and text between them.

#include "runtime/service.hpp"
#include "runtime/text/tokenizer.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Builds text and ids side by side. Text that touches is encoded as one.
class chat_parts {
public:
  /// Without a tokenizer there are no ids, only text.
  explicit chat_parts(const tokenizer* tokens) : tokens_(tokens) {
  }

  /// What follows is a segment of its own. Where it touches the text before it
  /// the two are one segment, which is given if either is.
  void begin_segment(segment_author author);

  /// Names the author of the segment at hand.
  void set_author(segment_author author);

  /// Appends a token of the form; remembers the first that is not one.
  void token(std::string_view content);

  /// Appends text in which nothing is a token.
  void text(std::string_view content);

  /// Appends what a form writes: its tokens, and text between them.
  void form(std::string_view content);

  /// Empty, or a token of the form that the tokenizer lacks.
  const std::string& missing() const {
    return missing_;
  }

  std::string& whole_text() {
    return whole_;
  }

  /// Returns the ids of all that was appended. Nothing may follow.
  std::vector<int32_t> ids();

  /// Returns the segments of `ids`, each a message with the tokens of the form
  /// before it, none empty. After ids().
  std::vector<prompt_segment> segments() const;

private:
  struct begun_segment {
    segment_author author = segment_author::given;
    size_t begin = 0; ///< Index of its first token.
  };

  void flush();
  /// Begins the segment that waits for its first token or text.
  void cut();

  const tokenizer* tokens_;
  std::string whole_;
  std::string plain_; // the end of whole_, not encoded yet
  std::vector<int32_t> ids_;
  std::vector<begun_segment> segments_;
  std::optional<segment_author> next_; // of a segment that is still empty
  std::string missing_;
};

} // namespace troupe
