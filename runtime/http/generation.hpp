#pragma once

/// One accepted request, from the service's events to the client's bytes.
///
///     service thread --receive--> inbox --drain, events' thread--> responder
///     I/O thread --client gone--> service.cancel

#include "runtime/http/answer_form.hpp"
#include "runtime/http/api_options.hpp"
#include "runtime/http/metrics.hpp"
#include "runtime/http/queue_watch.hpp"
#include "runtime/http/scored_tokens.hpp"
#include "runtime/task_queue.hpp"

#include <chrono>

namespace troupe::http {

/// What all generations of one API use. Its events end when the API ends.
struct generation_context {
  generation_context(service& to, const tokenizer& tokens,
                     const openai_sources& sources,
                     queue_watch::seconds max_wait)
    : serving(to), tokens(tokens), now(sources.now), enough(sources.enough),
      queue(max_wait) {
  }

  service& serving;
  const tokenizer& tokens;
  const steady_clock now;                       ///< Called on any thread.
  const std::function<void(request_id)> enough; ///< See openai_sources.
  api_metrics metrics;
  queue_watch queue;
  /// Turns tokens into text. A generation has three jobs there at most, which
  /// cost nothing: connections are limited, and so is what they have open.
  task_queue events{0};
};

/// What is known of a request before its first token.
struct generation_plan {
  std::shared_ptr<answer_form> form; ///< How it is told.
  completion_options options;
  std::string route;                    ///< For the metrics.
  std::string name;                     ///< X-Request-Id.
  std::string prompt_field;             ///< What the request calls its prompt.
  std::shared_ptr<key_holder> asked_by; ///< Whose quota it takes from.
  size_t num_prompt = 0;                ///< Tokens of all prompts.
  std::chrono::steady_clock::time_point arrival;
};

/// One of the answers that a client has asked for.
struct wanted_answer {
  generation_request request;
  answer_text text;
  std::string echo; ///< What is said before it.
};

class generation : public std::enable_shared_from_this<generation> {
public:
  /// At least one answer is wanted.
  generation(std::shared_ptr<generation_context> context, generation_plan plan,
             std::vector<wanted_answer> wanted, std::shared_ptr<responder> to);

  /// Submits all requests; from here on the service and the responder keep this
  /// alive. If one is not accepted, all end with its failure.
  void start();

private:
  // What the service has said of an answer and nobody has read yet.
  struct inbox {
    std::vector<int32_t> tokens;
    finish_reason finish = finish_reason::none;
    std::optional<int32_t> end_token;
    std::vector<token_score> scores;
    std::vector<token_score> prompt_scores;
    std::optional<failure> cause;
  };

  struct answer {
    answer(wanted_answer&& x, token_shower shower);

    uint64_t num_prompt; ///< Tokens.

    // Guarded by mutex_:
    inbox in;
    std::optional<request_id> id;
    bool ended = false;      ///< The service has said its last word of it.
    bool unwanted = false;   ///< To be cancelled as soon as the id is known.
    bool whole = false;      ///< For it is whole.
    size_t num_scored = 0;   ///< Tokens of the prompt, but the first.
    uint64_t num_cached = 0; ///< Tokens of the prompt.
    std::optional<std::chrono::steady_clock::time_point> last_token;

    // Of the events' thread alone:
    answer_text text;
    std::string echo;
    std::optional<int32_t> echo_id; ///< First token of it, if scores are told.
    token_shower shower;
    std::vector<scored_token> scores; ///< Not told yet.
    whole_answer all;                 ///< The text only if it is given whole.
    bool spoken = false;              ///< A first chunk has told the role.
    uint64_t num_tokens = 0;
  };

  // -- any thread ------------------------------------------------------------

  void receive(size_t i, const generation_event& event);
  void take_scores(answer& x, const generation_event& event) const;
  void time_tokens(answer& x, size_t count);
  void see_queue() const;
  void client_gone();
  void took_too_long();
  /// `whole`: there is nothing more to hear of it.
  void cancel(size_t i, bool whole = false);
  void leave(request_id id, bool whole) const;
  void cancel_all();

  // -- the events' thread ----------------------------------------------------

  /// The head of a stream, as soon as the request is accepted: whoever waits
  /// between here and the client knows that there is an answer.
  void accepted();
  void begin();
  void drain();
  bool take(size_t i, inbox in);
  void take_tokens(answer& x, const inbox& in, answer_piece& piece);
  void take_echo(answer& x, const inbox& in, answer_piece& piece);
  answer_end end_of(const inbox& in, answer_text& text,
                    answer_piece& piece) const;
  void finish(size_t i, answer_piece rest, answer_end end);
  void finish_all(std::string events);
  void fail(const api_error& error);
  void say(size_t i, answer_piece piece);
  answer_chunk chunk_of(size_t i, answer_piece piece);
  void write(const std::string& events);
  usage used();
  usage used_by(size_t i); ///< One answer, and its prompt.

  const std::shared_ptr<generation_context> context_;
  const generation_plan plan_;
  const std::shared_ptr<responder> to_;
  std::vector<generation_request> requests_; ///< Until the start.

  std::mutex mutex_;            // guards these:
  bool scheduled_ = false;      ///< A drain is waiting or running.
  bool over_ = false;           ///< Nothing more is to be said.
  std::vector<answer> answers_; ///< As many as are wanted, see above.

  // Of the events' thread alone:
  size_t num_open_;    ///< Answers that have not come to their end.
  bool begun_ = false; ///< A stream has its head.
};

} // namespace troupe::http
