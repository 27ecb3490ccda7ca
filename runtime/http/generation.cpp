#include "runtime/http/generation.hpp"

#include "runtime/as_seconds.hpp"
#include "runtime/http/api_refusals.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

/// Tokens of one request that may wait to become text. A context has fewer,
/// unless something is very wrong.
constexpr size_t max_inbox = 1 << 18;

} // namespace

generation::answer::answer(wanted_answer&& x, token_shower shower)
  : num_prompt(x.request.prompt.size()), text(std::move(x.text)),
    echo(std::move(x.echo)), shower(shower) {
  if (x.request.num_prompt_scores > 0)
    echo_id = x.request.prompt.front();
}

generation::generation(std::shared_ptr<generation_context> context,
                       generation_plan plan, std::vector<wanted_answer> wanted,
                       std::shared_ptr<responder> to)
  : context_(std::move(context)), plan_(std::move(plan)), to_(std::move(to)),
    num_open_(wanted.size()) {
  for (auto& x : wanted) {
    answers_.emplace_back(
      std::move(x), token_shower{context_->tokens, plan_.options.skip_special});
    requests_.push_back(std::move(x.request));
  }
}

void generation::start() {
  auto self = shared_from_this();
  to_->on_closed([weak = weak_from_this()] {
    if (auto x = weak.lock())
      x->client_gone();
  });
  to_->on_late([weak = weak_from_this()] {
    if (auto x = weak.lock())
      x->took_too_long();
  });
  see_queue(); // before they can end
  auto requests = std::move(requests_);
  for (size_t i = 0; i < requests.size(); ++i) {
    {
      std::lock_guard guard{mutex_};
      if (answers_[i].unwanted)
        return; // and so are those behind it
    }
    auto id = context_->serving.submit(
      std::move(requests[i]),
      [self, i](const generation_event& event) { self->receive(i, event); });
    if (!id) {
      if (i == 0)
        plan_.asked_by->quota.give_back(plan_.num_prompt, context_->now());
      generation_event event;
      event.finish = finish_reason::failed;
      event.cause = id.why();
      return receive(i, event);
    }
    std::unique_lock lock{mutex_};
    answers_[i].id = *id;
    if (!answers_[i].unwanted)
      continue;
    bool whole = answers_[i].whole;
    lock.unlock();
    leave(*id, whole);
  }
  if (plan_.options.stream)
    context_->events.post(0, [self] { self->accepted(); });
}

// -- any thread ---------------------------------------------------------------

void generation::receive(size_t i, const generation_event& event) {
  if (event.finish != finish_reason::none)
    see_queue();
  std::lock_guard guard{mutex_};
  auto& x = answers_[i];
  x.ended = x.ended || event.finish != finish_reason::none;
  if (over_)
    return;
  time_tokens(x, event.tokens.size());
  x.in.tokens.insert(x.in.tokens.end(), event.tokens.begin(),
                     event.tokens.end());
  take_scores(x, event);
  x.num_cached += event.num_cached; // told once
  x.in.finish = event.finish;
  x.in.end_token = event.end_token;
  x.in.cause = event.cause;
  if (x.in.tokens.size() > max_inbox) {
    x.in.finish = finish_reason::failed;
    x.in.cause = failure{errc::overloaded, "the gateway cannot keep up"};
  }
  if (!scheduled_)
    scheduled_ = context_->events.post(
      0, [self = shared_from_this()] { self->drain(); });
  over_ = !scheduled_; // the API has been stopped
}

void generation::take_scores(answer& x, const generation_event& event) const {
  auto width = plan_.options.num_scores;
  auto num_tokens = event.tokens.size() + event.end_token.has_value();
  if (event.scores.size() == num_tokens * width)
    x.in.scores.insert(x.in.scores.end(), event.scores.begin(),
                       event.scores.end());
  auto& from = event.prompt_scores;
  if (width == 0 || from.empty() || from.size() % width != 0)
    return;
  // Who begins anew says again what has been told.
  auto told = (x.num_scored + 1 - event.first_scored) * width;
  if (event.first_scored > x.num_scored + 1 || told > from.size())
    return;
  x.in.prompt_scores.insert(x.in.prompt_scores.end(),
                            from.begin() + ptrdiff_t(told), from.end());
  x.num_scored += (from.size() - told) / width;
}

void generation::time_tokens(answer& x, size_t count) {
  if (count == 0)
    return;
  auto now = context_->now();
  auto& metrics = context_->metrics;
  plan_.asked_by->quota.take_tokens(count, now);
  if (x.last_token)
    metrics.add_token_gap(as_seconds(now - *x.last_token));
  else
    metrics.add_first_token(as_seconds(now - plan_.arrival));
  for (size_t i = 1; i < count; ++i)
    metrics.add_token_gap(0);
  x.last_token = now;
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
  cancel_all();
}

void generation::took_too_long() {
  context_->events.post(0, [self = shared_from_this()] {
    self->drain(); // it may have ended meanwhile
    std::unique_lock lock{self->mutex_};
    if (self->over_)
      return;
    lock.unlock();
    self->fail(http::took_too_long());
  });
}

void generation::cancel(size_t i, bool whole) {
  std::optional<request_id> id;
  {
    std::lock_guard guard{mutex_};
    answers_[i].unwanted = true;
    whole = answers_[i].whole = answers_[i].whole || whole;
    if (!answers_[i].ended)
      id = answers_[i].id;
  }
  if (id)
    leave(*id, whole);
}

void generation::leave(request_id id, bool whole) const {
  if (whole && context_->enough)
    context_->enough(id);
  context_->serving.cancel(id);
}

void generation::cancel_all() {
  for (size_t i = 0; i < answers_.size(); ++i)
    cancel(i);
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
  auto head = event_stream(plan_.form->begin(used()));
  head.filler = plan_.form->filler();
  to_->begin(std::move(head));
}

void generation::drain() {
  std::vector<inbox> news;
  {
    std::lock_guard guard{mutex_};
    scheduled_ = false;
    if (over_)
      return;
    for (auto& x : answers_)
      news.push_back(std::exchange(x.in, {}));
  }
  auto is_open = [this](size_t i) {
    return answers_[i].all.end.why == finish_reason::none;
  };
  for (size_t i = 0; i < news.size(); ++i)
    if (is_open(i) && !take(i, std::move(news[i])))
      return;
}

/// Returns false if that was the end of all.
bool generation::take(size_t i, inbox in) {
  auto& x = answers_[i];
  const auto& options = plan_.options;
  answer_piece piece;
  take_echo(x, in, piece);
  if (options.no_tokens) {
    in.tokens.clear();
    in.scores.clear();
    in.end_token.reset();
    if (in.finish == finish_reason::stop)
      in.finish = finish_reason::length;
  }
  take_tokens(x, in, piece);
  if (x.text.stopped()) {
    cancel(i, true);
    finish(i, std::move(piece), {finish_reason::stop});
    return true;
  }
  if (in.finish == finish_reason::failed) {
    say(i, std::move(piece));
    fail(to_api_error(
      in.cause.value_or(failure{errc::step_failed, "the request failed"})));
    return false;
  }
  if (in.finish == finish_reason::none) {
    say(i, std::move(piece));
  } else {
    auto end = end_of(in, x.text, piece);
    finish(i, std::move(piece), std::move(end));
  }
  return true;
}

/// The prompt that is said again, with its scores once they are complete: when
/// there is a token, or an end.
void generation::take_echo(answer& x, const inbox& in, answer_piece& piece) {
  auto width = plan_.options.num_scores;
  auto is_complete = !in.tokens.empty() || in.finish != finish_reason::none;
  if (x.echo_id && (is_complete || !in.prompt_scores.empty())) {
    x.scores.push_back(x.shower.show(*x.echo_id));
    x.echo_id.reset();
  }
  std::span scores{in.prompt_scores};
  for (; !scores.empty(); scores = scores.subspan(width))
    x.scores.push_back(x.shower.show(scores.first(width)));
  if (is_complete || width == 0)
    piece.content = std::exchange(x.echo, {});
}

void generation::take_tokens(answer& x, const inbox& in, answer_piece& piece) {
  std::span scores{in.scores};
  auto show = [&] {
    auto width = plan_.options.num_scores;
    if (scores.empty())
      return;
    x.scores.push_back(x.shower.show(scores.first(width)));
    scores = scores.subspan(width);
  };
  for (auto id : in.tokens) {
    ++x.num_tokens;
    show();
    x.text.push(id, piece);
    if (x.text.stopped())
      return;
  }
  if (in.end_token)
    show();
}

/// How an answer has ended that no stop string ends. What ended it becomes part
/// of `piece` if that is asked for.
answer_end generation::end_of(const inbox& in, answer_text& text,
                              answer_piece& piece) const {
  const auto& options = plan_.options;
  answer_end end{in.finish};
  const auto& ids = options.stop_ids;
  if (in.end_token && std::ranges::find(ids, *in.end_token) != ids.end()) {
    end.stop_id = in.end_token;
    if (options.include_stop)
      text.push(*in.end_token, piece);
  }
  return end;
}

void generation::finish(size_t i, answer_piece rest, answer_end end) {
  auto& x = answers_[i];
  if (!x.text.stopped())
    x.text.finish(rest);
  if (x.text.stopped())
    end = {finish_reason::stop, {}, x.text.stopped_at()};
  say(i, std::move(rest));
  end.has_called = x.text.has_called();
  x.all.end = std::move(end);
  if (plan_.options.stream)
    begin();
  auto events = plan_.options.stream
                  ? plan_.form->finish(chunk_of(i, {}), x.all.end)
                  : std::string{};
  if (--num_open_ == 0)
    finish_all(std::move(events));
  else if (plan_.options.stream)
    write(events);
}

void generation::finish_all(std::string events) {
  {
    std::lock_guard guard{mutex_};
    over_ = true;
  }
  context_->metrics.count_request(plan_.route, 200);
  to_->count_tokens(used().prompt_tokens, used().completion_tokens);
  if (plan_.options.stream) {
    write(events + plan_.form->last(used(), plan_.options.include_usage));
    return to_->end();
  }
  std::vector<whole_answer> all;
  for (auto& x : answers_) {
    x.all.scores = std::move(x.scores);
    all.push_back(std::move(x.all));
  }
  to_->answer({200, "application/json", plan_.form->whole(all, used()), {}});
}

/// If one answer fails they all do.
void generation::fail(const api_error& error) {
  {
    std::lock_guard guard{mutex_};
    over_ = true;
  }
  cancel_all();
  context_->metrics.count_request(plan_.route, error.status);
  to_->count_tokens(used().prompt_tokens, used().completion_tokens);
  if (!begun_)
    return to_->answer(plan_.form->refusal(error));
  write(plan_.form->error(error));
  to_->end();
}

void generation::say(size_t i, answer_piece piece) {
  if (!plan_.options.stream) {
    auto& all = answers_[i].all.piece;
    all.content += piece.content;
    all.reasoning += piece.reasoning;
    return append_calls(all.calls, std::move(piece.calls));
  }
  for (auto& x :
       {answer_piece{piece.reasoning, ""}, answer_piece{"", piece.content},
        answer_piece{"", "", std::move(piece.calls)}})
    if (!is_empty(x)) {
      begin(); // the form counts its events in the order in which it makes them
      write(plan_.form->piece(chunk_of(i, x)));
    }
}

answer_chunk generation::chunk_of(size_t i, answer_piece piece) {
  auto& x = answers_[i];
  answer_chunk out{static_cast<uint32_t>(i), std::move(piece),
                   !std::exchange(x.spoken, true), plan_.options.include_usage};
  out.scores = std::exchange(x.scores, {});
  if (plan_.options.running_usage)
    out.used = used_by(i);
  return out;
}

void generation::write(const std::string& events) {
  begin();
  if (!to_->write(events))
    client_gone();
}

usage generation::used() {
  usage out{plan_.num_prompt};
  std::lock_guard guard{mutex_};
  for (size_t i = 0; i < answers_.size(); ++i) {
    auto& x = answers_[i];
    out.completion_tokens += x.num_tokens;
    out.reasoning_tokens += x.text.reasoning_tokens();
    if (i % plan_.options.num_answers == 0) // a prompt counts once
      out.cached_tokens += x.num_cached;
  }
  out.cached_tokens = std::min(out.cached_tokens, out.prompt_tokens);
  return out;
}

usage generation::used_by(size_t i) {
  auto& x = answers_[i];
  std::lock_guard guard{mutex_};
  return {x.num_prompt, x.num_tokens, x.text.reasoning_tokens(),
          std::min<uint64_t>(x.num_cached, x.num_prompt)};
}

} // namespace troupe::http
