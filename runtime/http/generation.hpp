#pragma once

/// One accepted request, from the service's events to the client's bytes.
///
///     service thread --receive--> inbox --drain, events' thread--> responder
///     I/O thread --client gone--> service.cancel

#include "runtime/http/answer_text.hpp"
#include "runtime/http/metrics.hpp"
#include "runtime/http/openai_answer.hpp"
#include "runtime/http/openai_request.hpp"
#include "runtime/http/queue_watch.hpp"
#include "runtime/http/task_queue.hpp"

#include <chrono>

namespace troupe::http {

using steady_clock = std::function<std::chrono::steady_clock::time_point()>;

/// What all generations of one API use. Its events end when the API ends.
struct generation_context {
  generation_context(service& to, steady_clock clock,
                     queue_watch::seconds max_wait)
    : serving(to), now(std::move(clock)), queue(max_wait) {
  }

  service& serving;
  const steady_clock now; ///< Called on any thread.
  api_metrics metrics;
  queue_watch queue;
  task_queue events{1 << 16}; ///< Turns tokens into text; 1 a generation.
};

/// What is known of a request before its first token.
struct generation_plan {
  completion_head head;
  completion_options options;
  std::string route; ///< For the metrics.
  size_t num_prompt = 0;
  std::chrono::steady_clock::time_point arrival;
};

class generation : public std::enable_shared_from_this<generation> {
public:
  generation(std::shared_ptr<generation_context> context, generation_plan plan,
             answer_text text, std::shared_ptr<responder> to);

  /// Submits `request`; from here on the service and the responder keep this
  /// alive. Answers itself if it is not accepted.
  void start(generation_request request);

private:
  // What the service has said and nobody has read yet.
  struct inbox {
    std::vector<int32_t> tokens;
    finish_reason finish = finish_reason::none;
    std::optional<failure> cause;
  };

  // -- any thread ------------------------------------------------------------

  void receive(const generation_event& event);
  void time_tokens(size_t count);
  void see_queue() const;
  void client_gone();
  void cancel();

  // -- the events' thread ----------------------------------------------------

  /// The head of a stream, as soon as the request is accepted: whoever waits
  /// between here and the client knows that there is an answer.
  void accepted();
  void begin();
  void drain();
  void finish(answer_piece rest, finish_reason why);
  void fail(const failure& why);
  void say(const answer_piece& piece);
  void write(const std::string& events);
  usage used() const;

  const std::shared_ptr<generation_context> context_;
  const generation_plan plan_;
  const std::shared_ptr<responder> to_;

  std::mutex mutex_; // guards these:
  inbox inbox_;
  bool scheduled_ = false; ///< A drain is waiting or running.
  bool over_ = false;      ///< Nothing more is to be said.
  bool unwanted_ = false;  ///< To be cancelled as soon as the id is known.
  std::optional<request_id> id_;
  std::optional<std::chrono::steady_clock::time_point> last_token_;

  // Of the events' thread alone:
  answer_text text_;
  answer_piece all_;    ///< Of an answer that is given whole.
  bool begun_ = false;  ///< A stream has its head.
  bool spoken_ = false; ///< A first chunk has told the role.
  uint64_t num_tokens_ = 0;
};

} // namespace troupe::http
