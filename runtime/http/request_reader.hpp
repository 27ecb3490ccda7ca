#pragma once

/// Requests from the bytes of one connection, one after the other, wherever
/// the network has cut them. No socket and no clock; what it holds is bounded
/// by its limits and by what is added to it at once.
///
///     head -> head_read -> (the owner goes on) -> body -> complete -> head
///
/// One empty line before a head is passed over: some clients end a body so.
/// Anything may lead to `refused`, from where nothing goes on.

#include "runtime/http/chunk_reader.hpp"
#include "runtime/http/request_head.hpp"

#include <optional>
#include <string>
#include <utility>

namespace troupe::http {

struct reader_limits {
  head_limits head;
  chunk_limits body; ///< Its `max_data` also where there are no chunks.
};

/// Why no request can be read any more.
struct refusal {
  unsigned status;
  std::string why;
};

class request_reader {
public:
  enum class stage { head, head_read, body, complete, refused };

  explicit request_reader(const reader_limits& limits = {});

  /// Takes what has come. Read on until `head` is left, and then while `body`
  /// lasts: what comes in other stages belongs to the next request and waits.
  void add(std::string_view bytes);

  stage at() const {
    return at_;
  }

  /// From `head_read` to `complete`.
  const request_head& head() const;

  /// Names the request, from `head_read` on.
  void name(std::string id) {
    head_.request_id = std::move(id);
  }

  /// From `head_read`: the body may come.
  void read_body();

  /// Bytes of the body that have come so far.
  size_t body_size() const {
    return body_.size();
  }

  /// Bytes that are set aside for it: no more than its length where that is
  /// known, else up to twice what has come.
  size_t body_memory() const {
    return body_.capacity();
  }

  /// From `complete`: the request. What was sent early begins the next one.
  request take();

  /// In `refused`.
  const refusal& why() const;

  /// Whether no byte of a request has come: an empty line, or its beginning,
  /// is none.
  bool rests() const {
    return at_ == stage::head && (buffer_.empty() || buffer_ == "\r");
  }

  /// Bytes that nothing has been made of yet.
  size_t waiting() const {
    return buffer_.size();
  }

private:
  /// Whether more than the beginning of an empty line has come, which goes.
  bool skip_empty_line();
  void find_head();
  void read_length();
  void read_chunks();
  void refuse(unsigned status, std::string why);

  const reader_limits limits_;
  stage at_ = stage::head;
  std::string buffer_;
  size_t searched_ = 0;  ///< Bytes of it that hold no end of a head.
  bool skipped_ = false; ///< An empty line, before this head.
  request_head head_;
  std::string body_;
  std::optional<chunk_reader> chunks_;
  std::optional<refusal> refusal_;
};

} // namespace troupe::http
