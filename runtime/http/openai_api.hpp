#pragma once

/// OpenAI's HTTP interface in front of a `service`: routes, keys, requests in,
/// answers out. The table of routes says what each needs; what is not in it
/// does not exist. Requests are read and tokenized on threads of their own,
/// long bodies on another one than short ones, and tokens become text on a
/// third, so that a long prompt holds up neither a stream nor a question.

#include "runtime/http/api_keys.hpp"
#include "runtime/http/cross_origin.hpp"
#include "runtime/http/generation.hpp"
#include "runtime/request_rules.hpp"
#include "runtime/text/chat.hpp"
#include "runtime/text/tokenizer.hpp"

#include <atomic>

namespace troupe::http {

struct openai_options {
  std::string model; ///< The name that requests must give.
  std::string fingerprint = "troupe";
  std::string version;                      ///< Of the program.
  std::vector<std::string> keys;            ///< None: everybody may.
  bool open_metrics = false;                ///< For those without a key, too.
  std::vector<std::string> allowed_origins; ///< See cross_origin.
  sampling_defaults defaults;
  bool add_bos = true; ///< In front of the prompts of text completions.
  request_limits limits;
  std::chrono::seconds max_queue_wait{600}; ///< Predicted; beyond it 429.
  size_t short_body = 64 << 10;             ///< Up to so many bytes.
  /// Of long bodies not yet read, and an eighth of it of short ones; then 429.
  size_t max_waiting_bytes = 64 << 20;
};

/// Where an API gets time and chance from. Called on its own threads and on
/// those that call it.
struct openai_sources {
  steady_clock now;
  std::function<int64_t()> unix_time; ///< s
  std::function<uint64_t()> random_bits;
  /// What people have broken on purpose at present; empty: nobody does that.
  std::function<std::vector<std::string>()> active_faults = {};
  /// Of the server in front, or null.
  std::shared_ptr<const server_counts> connections = {};
};

/// `serving` and `tokens` must outlive the API, the API its server.
class openai_api : public handler {
public:
  openai_api(service& serving, const tokenizer& tokens, chat_form form,
             openai_options options, openai_sources sources);

  /// From now on it is not ready: no more requests are to be sent to it. Those
  /// that come are answered as ever.
  void retire();

  /// Ends its threads; what is unfinished then is not answered.
  ~openai_api() override;

  std::optional<reply> refuse_head(const request_head& head) override;

  void handle(request what, std::shared_ptr<responder> to) override;

  header_list headers_for(const request_head& head) override;

  reply refusal(unsigned status, std::string_view why) override;

private:
  using respond = std::shared_ptr<responder>;

  struct route {
    const char* method;
    const char* path; ///< A final '/' stands for whatever follows it.
    bool open;        ///< Needs no key.
    void (openai_api::*run)(request what, respond to);
  };

  /// The route of `path`, whatever the method, or null.
  static const route* find(std::string_view path);

  void chat(request what, respond to);
  void text(request what, respond to);
  void models(request what, respond to);
  void model(request what, respond to);
  void live(request what, respond to);
  void health(request what, respond to);
  void version(request what, respond to);
  void load(request what, respond to);
  void metrics(request what, respond to);
  void tokenize(request what, respond to);
  void detokenize(request what, respond to);

  /// Does `job` on the thread that reads bodies of such a size, or answers 429.
  void enqueue(const std::string& route, size_t bytes, const respond& to,
               std::function<void()> job);

  void start_chat(const request& what, const respond& to, generation_plan plan);
  void start_text(const request& what, const respond& to, generation_plan plan);
  void start_tokenize(const request& what, const respond& to);
  parsed<chat_prompt> render_chat(const chat_request& asked) const;
  std::vector<int32_t> encode_text(const std::string& text, bool begin) const;

  /// A prompt, and how its answers begin.
  struct asked_prompt {
    std::vector<int32_t> ids;
    std::vector<prompt_segment> segments = {};
    std::optional<reasoning_splitter> splitter = {};
    std::optional<tool_call_splitter> calls = {};
    std::string echo = {};
  };

  /// Refuses what cannot be, or hands it to the service.
  void generate(std::vector<asked_prompt> prompts, generation_plan plan,
                const respond& to);
  asked_prompt prompt_of(text_prompt&& x, const text_request& of) const;
  parsed<wanted_answer> answer_to(const asked_prompt& x,
                                  const generation_plan& plan, uint64_t seed,
                                  const stop_strings& stops) const;

  request_rules rules() const;
  /// Why requests for so many blocks would wait too long for their turn.
  std::optional<api_error> too_busy(size_t num_blocks) const;
  generation_plan plan(completion_kind kind,
                       std::chrono::steady_clock::time_point arrival) const;
  void answer(const std::string& route, reply what, const respond& to);
  reply counted(const std::string& route, reply what);

  service& serving_;
  const tokenizer& tokens_;
  const chat_form form_;
  const openai_options options_;
  const openai_sources sources_;
  const api_keys keys_;
  const cross_origin pages_;
  const int64_t created_;
  std::atomic<bool> retired_ = false;
  std::shared_ptr<generation_context> context_;
  task_queue short_requests_; ///< Cost: bytes.
  task_queue long_requests_;  ///< Likewise.
};

} // namespace troupe::http
