#pragma once

/// The forms in which one answer is a row of blocks, each of one kind: what is
/// thought, what is said, and every call of a tool.

#include "runtime/http/answer_form.hpp"

namespace troupe::http {

enum class block_kind : uint8_t { thought, speech, call };

struct answer_block {
  block_kind kind;
  std::string text; ///< Of a call its arguments.
  std::string name; ///< Of the tool.
};

/// Turns pieces into blocks: one ends where another begins, or with the answer.
class block_form : public answer_form {
public:
  std::string piece(const answer_chunk& x) final;
  std::string finish(const answer_chunk& x, const answer_end& end) final;
  std::string whole(const std::vector<whole_answer>& all,
                    const usage& used) final;

protected:
  /// Events of the block `i`, which is the last one: it has begun, without a
  /// text; it goes on with `more`; it is complete.
  virtual std::string opened(size_t i) = 0;
  virtual std::string extended(size_t i, const std::string& more) = 0;
  virtual std::string closed(size_t i) = 0;

  /// The body of a whole answer, whose blocks are complete.
  virtual std::string body(const usage& used) = 0;

  const std::vector<answer_block>& blocks() const {
    return blocks_;
  }

  const answer_end& end() const {
    return end_;
  }

private:
  std::string add(const answer_piece& piece);
  std::string add(block_kind kind, const std::string& more);
  std::string add(const tool_call_piece& call);
  std::string open(answer_block block);
  std::string close();

  std::vector<answer_block> blocks_;
  bool is_open_ = false; ///< The last one.
  answer_end end_;
};

} // namespace troupe::http
