#pragma once

/// What the server and the API say to each other. The server knows bytes and
/// limits, the handler knows what they mean; neither sees Asio or JSON types.
///
///     server  -- head -->  handler, which may refuse it before any body
///     server  -- request, responder -->  handler
///     server  <-- answer | begin, write..., end --  responder, any thread
///     server  -- on_closed -->  handler, when the client goes away

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::http {

/// What is known of a request before its body is read.
struct request_head {
  std::string method; ///< As sent, e.g. "POST".
  std::string path;   ///< Without the query.
  std::string query;  ///< What stands behind the '?', as sent.
  std::string authorization;
  std::string api_key; ///< X-Api-Key, in Anthropic's way.
  std::string content_type;
  std::string content_encoding; ///< How the body is packed, if it is.
  /// X-Request-Id, as the client says it; once all is there, as the answer
  /// will.
  std::string request_id;
  std::string origin;        ///< Of the page that asks, if a browser says so.
  std::string asked_method;  ///< A browser's question: may a page do that,
  std::string asked_headers; ///< with such headers?
  bool from_browser = false; ///< It has headers that only browsers send.
  bool http_11 = true;       ///< False: HTTP/1.0.
  bool keep_alive = true;    ///< Another request may follow.
  bool expects_continue = false; ///< Sends the body when told to.
  bool chunked = false;
  uint64_t length = 0; ///< Bytes of the body, if it is not chunked.

  bool has_body() const {
    return chunked || length > 0;
  }
};

/// A whole request, within the limits of the server.
struct request : request_head {
  std::string body;
  std::string client = {}; ///< Its address, or network: see origin_of.
};

using header_list = std::vector<std::pair<std::string, std::string>>;

struct reply {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  header_list headers; ///< Beside content type, length and connection.
  /// A piece that means nothing, for a stream that says nothing for a while.
  std::string filler = {};
};

/// The way back to one client. Every member may be called from any thread and
/// never blocks; what comes after the end, or after the client has gone, is
/// ignored. A responder that is dropped before it has answered says 500.
class responder {
public:
  virtual ~responder() = default;

  /// Answers whole.
  virtual void answer(reply what) = 0;

  /// Starts an answer whose body comes in pieces; `head.body` is the first.
  virtual void begin(reply head) = 0;

  /// Appends `piece`. False: the client is gone, or so slow that the buffer is
  /// full, in which case the connection is closed.
  virtual bool write(std::string_view piece) = 0;

  /// Ends what `begin` began.
  virtual void end() = 0;

  /// Whether the client has gone away: nobody hears an answer.
  virtual bool is_gone() const = 0;

  /// Says for the log how many tokens the answer took, before its end.
  virtual void count_tokens(uint64_t prompt, uint64_t answer) = 0;

  /// Calls `fn` once if the client goes away before the answer's last byte was
  /// handed to its socket: at once if it has gone already. `fn` must be short.
  virtual void on_closed(std::function<void()> fn) = 0;

  /// Calls `fn` once if the answer takes longer than one may: it is to say so
  /// in its own form, and to end, at once. Where there is no such `fn` yet the
  /// server says 504, and `fn` is called as soon as it comes.
  virtual void on_late(std::function<void()> fn) = 0;
};

class handler {
public:
  virtual ~handler() = default;

  /// What refuses `head` before a byte of its body is read; none: go on.
  /// Called on an I/O thread, as is `handle`: short, without blocking.
  virtual std::optional<reply> refuse_head(const request_head& head) = 0;

  /// Headers that every answer to `head` carries, also a refusal, after which
  /// it is asked.
  virtual header_list headers_for(const request_head& head) = 0;

  /// A request whose head was not refused.
  virtual void handle(request what, std::shared_ptr<responder> to) = 0;

  /// Words for what the server refuses itself, e.g. (413, "the body ...").
  virtual reply refusal(unsigned status, std::string_view why) = 0;
};

} // namespace troupe::http
