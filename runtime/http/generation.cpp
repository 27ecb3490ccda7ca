#include "runtime/http/generation.hpp"

namespace troupe::http {

namespace {

/// Tokens of one request that may wait to become text. A context has fewer,
/// unless something is very wrong.
constexpr size_t max_inbox = 1 << 18;

/// What nginx and others in between are to leave as it is.
const header_list stream_headers = {{"Cache-Control", "no-cache"},
                                    {"X-Accel-Buffering", "no"}};

/// A comment, which readers of events skip.
constexpr const char* keep_alive = ": keep-alive\n\n";

double seconds(std::chrono::steady_clock::duration x) {
  return std::chrono::duration<double>(x).count();
}

} // namespace

generation::generation(std::shared_ptr<generation_context> context,
                       generation_plan plan, answer_text text,
                       std::shared_ptr<responder> to)
  : context_(std::move(context)), plan_(std::move(plan)), to_(std::move(to)),
    text_(std::move(text)) {
}

void generation::start(generation_request request) {
  auto self = shared_from_this();
  to_->on_closed([weak = weak_from_this()] {
    if (auto x = weak.lock())
      x->client_gone();
  });
  {
    std::lock_guard guard{mutex_};
    if (over_)
      return;
  }
  auto id = context_->serving.submit(
    std::move(request),
    [self](const generation_event& event) { self->receive(event); });
  if (!id)
    return fail(id.why());
  see_queue();
  if (plan_.options.stream)
    context_->events.post(1, [self] { self->accepted(); });
  std::unique_lock lock{mutex_};
  id_ = *id;
  if (!unwanted_)
    return;
  lock.unlock();
  context_->serving.cancel(*id);
}

// -- any thread ---------------------------------------------------------------

void generation::receive(const generation_event& event) {
  if (event.finish != finish_reason::none)
    see_queue();
  std::lock_guard guard{mutex_};
  if (over_)
    return;
  time_tokens(event.tokens.size());
  inbox_.tokens.insert(inbox_.tokens.end(), event.tokens.begin(),
                       event.tokens.end());
  inbox_.finish = event.finish;
  inbox_.cause = event.cause;
  if (inbox_.tokens.size() > max_inbox) {
    inbox_.finish = finish_reason::failed;
    inbox_.cause = failure{errc::overloaded, "the gateway cannot keep up"};
  }
  if (!scheduled_)
    scheduled_ = context_->events.post(
      1, [self = shared_from_this()] { self->drain(); });
  over_ = !scheduled_; // the API has been stopped
}

void generation::time_tokens(size_t count) {
  if (count == 0)
    return;
  auto now = context_->now();
  auto& metrics = context_->metrics;
  if (last_token_)
    metrics.add_token_gap(seconds(now - *last_token_));
  else
    metrics.add_first_token(seconds(now - plan_.arrival));
  for (size_t i = 1; i < count; ++i)
    metrics.add_token_gap(0);
  last_token_ = now;
}

void generation::see_queue() const {
  auto& serving = context_->serving;
  context_->queue.see(context_->now(), serving.stats(), serving.info());
}

void generation::client_gone() {
  {
    std::lock_guard guard{mutex_};
    if (over_)
      return;
    over_ = true;
  }
  context_->metrics.count_client_gone();
  cancel();
}

void generation::cancel() {
  std::optional<request_id> id;
  {
    std::lock_guard guard{mutex_};
    unwanted_ = true;
    id = id_;
  }
  if (id)
    context_->serving.cancel(*id);
}

// -- the events' thread -------------------------------------------------------

void generation::accepted() {
  {
    std::lock_guard guard{mutex_};
    if (over_)
      return;
  }
  begin();
}

void generation::begin() {
  if (std::exchange(begun_, true))
    return;
  reply head{200, "text/event-stream", "", stream_headers, keep_alive};
  to_->begin(std::move(head));
}

void generation::drain() {
  inbox in;
  {
    std::lock_guard guard{mutex_};
    scheduled_ = false;
    if (over_)
      return;
    in = std::exchange(inbox_, {});
  }
  answer_piece piece;
  for (auto id : in.tokens) {
    ++num_tokens_;
    text_.push(id, piece);
    if (text_.stopped())
      break;
  }
  if (text_.stopped()) {
    cancel();
    return finish(std::move(piece), finish_reason::stop);
  }
  if (in.finish == finish_reason::none)
    return say(piece);
  if (in.finish != finish_reason::failed)
    return finish(std::move(piece), in.finish);
  say(piece);
  cancel();
  fail(in.cause.value_or(failure{errc::step_failed, "the request failed"}));
}

void generation::finish(answer_piece rest, finish_reason why) {
  if (!text_.stopped())
    text_.finish(rest);
  if (text_.stopped())
    why = finish_reason::stop;
  say(rest);
  {
    std::lock_guard guard{mutex_};
    over_ = true;
  }
  context_->metrics.count_request(plan_.route, 200);
  const auto& options = plan_.options;
  if (!options.stream)
    return to_->answer({200,
                        "application/json",
                        render_whole(plan_.head, all_, why, used()),
                        {}});
  auto events = render_finish(plan_.head, why, !spoken_, options.include_usage);
  if (options.include_usage)
    events += render_usage(plan_.head, used());
  write(events + done_event);
  to_->end();
}

void generation::fail(const failure& why) {
  {
    std::lock_guard guard{mutex_};
    over_ = true;
  }
  auto error = to_api_error(why);
  context_->metrics.count_request(plan_.route, error.status);
  if (!begun_)
    return to_->answer(to_reply(error));
  write(render_error_event(error));
  to_->end();
}

void generation::say(const answer_piece& piece) {
  if (!plan_.options.stream) {
    all_.content += piece.content;
    all_.reasoning += piece.reasoning;
    return;
  }
  for (const auto& x :
       {answer_piece{piece.reasoning, ""}, answer_piece{"", piece.content}}) {
    if (is_empty(x))
      continue;
    write(render_piece(plan_.head, x, !spoken_, plan_.options.include_usage));
    spoken_ = true;
  }
}

void generation::write(const std::string& events) {
  begin();
  if (!to_->write(events))
    client_gone();
}

usage generation::used() const {
  return {plan_.num_prompt, num_tokens_, text_.reasoning_tokens()};
}

} // namespace troupe::http
