#pragma once

/// The HTTP interface in front of a `service`, in OpenAI's and in Anthropic's
/// form: routes, keys, requests in, answers out. The table of routes says what
/// each needs; what is not in it does not exist. Requests are read and
/// tokenized on threads of their own, long bodies on another one than short
/// ones, and tokens become text on a third, so that a long prompt holds up
/// neither a stream nor a question.

#include "runtime/http/api_keys.hpp"
#include "runtime/http/cross_origin.hpp"
#include "runtime/http/request_desk.hpp"
#include "runtime/http/response_desk.hpp"
#include "runtime/http/token_desk.hpp"
#include "runtime/turn_queue.hpp"

#include <atomic>
#include <span>

namespace troupe::http {

/// What somebody needs to call a route. On the public port there is nothing of
/// `admin`; on the admin socket, whose file says who may, all but `ask`.
enum class right : uint8_t {
  none,    ///< Nothing.
  use,     ///< A key.
  ask,     ///< A key with something left of its quota.
  observe, ///< A key, unless everybody may see it.
  admin,   ///< The admin socket.
};

struct route_right {
  std::string method;
  std::string path; ///< See is_path_of.
  right needs;
};

/// `serving` and `tokens` must outlive the API, the API its server.
class openai_api : public handler {
public:
  openai_api(service& serving, const tokenizer& tokens, chat_form form,
             openai_options options, openai_sources sources);

  /// All routes that there are.
  static std::vector<route_right> rights();

  /// For the server of the admin socket, which must not outlive the API.
  handler& admin() {
    return admin_;
  }

  /// From now on these are the keys: see api_keys.
  void replace_keys(std::span<const api_key> keys) {
    keys_.replace(keys);
  }

  /// From now on it is not ready and refuses (503) all but what tells how it
  /// is: `/health/...`, `/metrics`, `/cluster`. The admin socket goes on.
  void retire() {
    retired_ = true;
  }

  /// Ends its threads; what is unfinished then is not answered.
  ~openai_api() override;

  std::optional<reply> refuse_head(const request_head& head) override;

  void handle(request what, std::shared_ptr<responder> to) override;

  header_list headers_for(const request_head& head) override;

  reply refusal(unsigned status, std::string_view why) override;

private:
  using respond = std::shared_ptr<responder>;

  using instant = std::chrono::steady_clock::time_point;
  /// Who asks, and since when.
  struct asking {
    std::shared_ptr<key_holder> holder;
    instant arrival;
  };

  using work = std::function<void(const request& what, const asking& by)>;
  using reading = void (openai_api::*)(const request& what, const respond& to,
                                       const asking& by);

  struct route {
    const char* method;
    const char* path; ///< See is_path_of.
    right needs;
    void (openai_api::*run)(request what, respond to);
  };

  /// What those see who come through the admin socket: no key is asked for.
  class admin_door : public handler {
  public:
    explicit admin_door(openai_api& api) : api_(api) {
    }

    std::optional<reply> refuse_head(const request_head& head) override {
      return api_.refuse_head(head, true);
    }

    void handle(request what, std::shared_ptr<responder> to) override {
      api_.handle(std::move(what), std::move(to), true);
    }

    header_list headers_for(const request_head&) override {
      return {};
    }

    reply refusal(unsigned status, std::string_view why) override {
      return api_.refusal(status, why);
    }

  private:
    openai_api& api_;
  };

  /// What is known of a path.
  struct found_route {
    const route* it = nullptr; ///< That of the method, too.
    std::string methods;       ///< Those that the path has.
    bool open = false;         ///< No key is needed.
  };

  static std::span<const route> routes();

  /// Whether it counts as a request of its key's quota: all that tokenizes.
  static bool is_limited(const route& x) {
    return x.needs == right::ask
           || (x.needs == right::use && x.method[0] == 'P');
  }

  /// Whether it is answered to the end: it tells how the server is.
  static bool is_watched(const route& x) {
    return x.needs == right::none || x.needs == right::observe;
  }

  static found_route find(const request_head& head, bool is_admin);
  std::optional<reply> refuse_head(const request_head& head, bool is_admin);
  void handle(request what, respond to, bool is_admin);

  void chat(request what, respond to);
  void text(request what, respond to);
  void messages(request what, respond to);
  void count_tokens(request what, respond to);
  void response(request what, respond to);
  void get_response(request what, respond to);
  void delete_response(request what, respond to);
  void models(request what, respond to);
  void model(request what, respond to);
  void live(request what, respond to);
  void health(request what, respond to);
  void version(request what, respond to);
  void load(request what, respond to);
  void metrics(request what, respond to);
  void cluster(request what, respond to);
  void experts(request what, respond to);
  void dashboard(request what, respond to);
  void faults(request what, respond to);
  void drain(request what, respond to);
  void begin_drain(request what, respond to);
  void undrain(request what, respond to);
  void log_level(request what, respond to);
  void set_log_level(request what, respond to);
  void tokenize(request what, respond to);
  void detokenize(request what, respond to);
  void tokenizer_info(request what, respond to);

  /// Does `job` of `what` on the thread that reads bodies of such a size, if
  /// its client is still there then; or answers 429. Who has one key, or
  /// without keys one address, has one turn among others.
  void enqueue(const std::string& route, request what, const respond& to,
               work job);
  void read_later(const char* path, request what, respond to, reading read);

  // On those threads:
  void start_chat(const request& what, const respond& to, const asking& by);
  void start_text(const request& what, const respond& to, const asking& by);
  void start_messages(const request& what, const respond& to, const asking& by);
  void start_count(const request& what, const respond& to, const asking& by);
  void start_response(const request& what, const respond& to, const asking& by);
  template <class T>
  void start(parsed<T> body, generation_plan plan, const respond& to);

  std::string new_id(const char* prefix) const;
  std::shared_ptr<answer_form> completion_form(completion_kind kind,
                                               const char* prefix) const;
  generation_plan plan(const request& what, const char* prompt_field,
                       const asking& by,
                       std::shared_ptr<answer_form> form) const;
  std::vector<std::string> active_faults() const;
  void answer(const std::string& route, reply what, const respond& to);
  reply counted(const std::string& route, reply what);

  service& serving_;
  const openai_options options_;
  const openai_sources sources_;
  api_keys keys_;
  const cross_origin pages_;
  const int64_t created_;
  std::atomic<bool> retired_ = false;
  request_desk desk_;
  response_desk responses_;
  token_desk words_;
  admin_door admin_;
  turn_queue short_requests_; ///< Cost: bytes.
  turn_queue long_requests_;  ///< Likewise.
};

} // namespace troupe::http
