#pragma once

/// One answer between the handler, which writes it on any thread, and the
/// connection, which takes it on its own. The buffer between them is bounded:
/// a client that does not read costs at most its limit, then its connection.

#include "runtime/http/message.hpp"

#include <cstddef>
#include <mutex>
#include <optional>

namespace troupe::http {

/// What a connection finds when it looks.
struct progress {
  std::optional<reply> head; ///< Once; its body belongs in front of `bytes`.
  std::string bytes;         ///< Of a stream, in order.
  bool whole = false;        ///< `head` is the complete answer.
  bool ended = false;        ///< Nothing will follow.
  bool overrun = false;      ///< The client is too slow: close.
};

struct token_count {
  uint64_t prompt = 0;
  uint64_t answer = 0;
};

class exchange {
public:
  /// `wake` is called, with the lock held, whenever there is something new; it
  /// must not call back. It is never called after `close` or `finish`.
  exchange(size_t max_buffered, std::function<void()> wake);

  // -- the handler's side ----------------------------------------------------

  void answer(reply what);
  void begin(reply head);
  bool write(std::string_view piece);
  void end();
  void on_closed(std::function<void()> fn);
  void on_late(std::function<void()> fn);
  bool is_gone() const;
  void count_tokens(uint64_t prompt, uint64_t answer);

  /// The handler has let go: says 500, or ends what was begun.
  void abandon(reply sorry);

  // -- the connection's side -------------------------------------------------

  /// Moves out what there is.
  progress take();

  /// It has taken longer than it may: has the handler say so, or says `sorry`
  /// itself where nothing has been said.
  void expire(reply sorry);

  /// Nothing if none were counted.
  std::optional<token_count> tokens();

  /// The last byte is on its way: neither on_closed nor on_late will be
  /// called any more.
  void finish();

  /// The client is gone.
  void close();

private:
  enum class stage { waiting, streaming, ended };

  mutable std::mutex mutex_;
  const size_t max_buffered_;
  std::function<void()> wake_;
  std::function<void()> on_closed_;
  std::function<void()> on_late_;
  stage stage_ = stage::waiting;
  bool gone_ = false;
  bool finished_ = false;
  bool late_ = false;
  progress next_;
  std::optional<token_count> tokens_;
};

/// A handle to `way` that abandons it in its destructor.
std::shared_ptr<responder> make_responder(std::shared_ptr<exchange> way,
                                          reply sorry);

} // namespace troupe::http
