#pragma once

/// One connection at a door, from its first byte to its end. Everything happens
/// on the door's thread; only door.cpp includes this.

#include "runtime/meeting/door.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>

#include <optional>

namespace troupe {

/// The TLS of both sides, if there is any.
class line_tls {
public:
  /// Error: invalid_input that names the file.
  result<void> load(const tls_files& files);

  /// Null: there is none.
  boost::asio::ssl::context* of(handshake::role side) {
    auto& x = side == handshake::role::responder ? server_ : client_;
    return x ? &*x : nullptr;
  }

private:
  std::optional<boost::asio::ssl::context> server_, client_;
};

class line : public std::enable_shared_from_this<line> {
public:
  class owner {
  public:
    virtual void on_proven(line& x) = 0;
    virtual void on_met(line& x) = 0;
    virtual void on_welcomed(line& x) = 0;
    /// Nobody is there yet; told once.
    virtual void on_waiting(const dial_target& target, const std::string& why)
      = 0;
    /// The last that is heard of it. Without a reason after close().
    virtual void on_over(line& x, const std::optional<failure>& why) = 0;

  protected:
    ~owner() = default;
  };

  /// `to` and `tls` outlive this.
  line(owner& to, line_id id, boost::asio::ip::tcp::socket socket,
       line_tls& tls, handshake meeting);

  line_id id() const {
    return id_;
  }

  /// Welcomed, by either side.
  bool is_up() const {
    return is_up_;
  }

  /// We dialled.
  bool is_ours() const {
    return side_ == handshake::role::initiator;
  }

  /// As far as it is known.
  acquaintance other() const;

  /// Meets who has come.
  void serve(std::chrono::milliseconds deadline);

  /// Goes to `end`, which is the target's address, and meets who is there.
  void dial(boost::asio::ip::tcp::endpoint end, dial_target target);

  void proceed();
  void welcome();
  void refuse(const std::string& why);

  /// Ends it without a word, or with `why` for the owner.
  void close();
  void drop(const std::string& why, errc code = errc::refused);

private:
  template <class T>
  using awaitable = boost::asio::awaitable<T>;

  enum class answer : uint8_t { none, yes, no };

  void start(std::chrono::milliseconds deadline);
  void limit(std::chrono::milliseconds deadline, const char* why);
  awaitable<void> live();
  awaitable<void> connect();
  awaitable<void> rest(const std::string& why);
  void lose();
  awaitable<bool> reach();
  awaitable<bool> meet();
  awaitable<void> stay();
  void spawn_part();
  awaitable<void> part();
  awaitable<bool> fill(boost::asio::mutable_buffer to);
  awaitable<std::optional<std::vector<std::byte>>> read();
  awaitable<std::optional<std::string>> read_last_words();
  awaitable<bool> write(std::vector<std::byte> message);
  awaitable<answer> wait_for_answer();
  void end(std::optional<failure> why);
  awaitable<bool> take(handshake::step step);
  awaitable<bool> answer_proof();
  void reply(answer x);

  owner& owner_;
  line_tls& tls_;
  const line_id id_;
  const handshake::role side_;
  boost::asio::ip::tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>>
    secure_; ///< Over socket_, with TLS.
  handshake meeting_;
  boost::asio::steady_timer deadline_;
  uint32_t limit_ = 0; ///< Number of the one that deadline_ is for.
  boost::asio::steady_timer answered_; ///< Cancelled when the answer is there.
  answer answer_ = answer::none;
  /// With an answer of no, or on a line that is up: why we give it up. Empty:
  /// without a word.
  std::string refusal_;
  boost::asio::steady_timer pause_; ///< Between two tries.
  std::chrono::milliseconds next_pause_;
  bool has_rested_ = false;
  bool has_heard_ = false;                            ///< A message has come.
  std::optional<boost::asio::ip::tcp::endpoint> end_; ///< If ours.
  dial_target target_;                                ///< If ours.
  bool is_up_ = false;
  bool is_staying_ = false; ///< Up, and its welcome is out.
  bool is_over_ = false;
};

} // namespace troupe
