#pragma once

/// An answer as a client reads it: its status, and its body as it comes,
/// wherever the network has cut it. Lenient where it does no harm: any server
/// may have written it.

#include "runtime/error.hpp"
#include "runtime/http/chunk_reader.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

class answer_reader {
public:
  answer_reader();

  /// Reads on and appends what belongs to the body to `to`. Error:
  /// invalid_input; nothing may be read after it, nor what comes after the
  /// end.
  result<void> read(std::string_view bytes, std::string& to);

  /// 0: the head has not come.
  unsigned status() const {
    return status_;
  }

  /// All of it has come.
  bool done() const {
    return done_;
  }

  /// The connection has ended: returns whether that was the end of the answer.
  bool ends_here() const {
    return done_ || (status_ > 0 && !length_ && !chunks_);
  }

  /// The same connection may be asked again.
  bool keep_alive() const {
    return done_ && keep_alive_;
  }

  /// Whether any byte has come.
  bool begun() const {
    return begun_;
  }

private:
  result<void> read_head();
  result<void> read_status(std::string_view line);
  result<void> read_header(std::string_view line);
  result<void> read_body(std::string_view bytes, std::string& to);

  std::string head_; ///< Until it is whole.
  unsigned status_ = 0;
  std::optional<uint64_t> length_; ///< Bytes that are still to come.
  std::optional<chunk_reader> chunks_;
  bool keep_alive_ = true;
  bool begun_ = false;
  bool done_ = false;
};

} // namespace troupe::http
