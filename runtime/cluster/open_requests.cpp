#include "runtime/cluster/open_requests.hpp"

#include "runtime/planted.hpp"

namespace troupe {

result<request_id> open_requests::open(event_handler on_event, uint64_t limit) {
  std::lock_guard lock{mutex_};
  if (closed_)
    return *closed_;
  if (figures_.open >= (PLANTED(limit_of_requests_is_off) ? 2 * limit : limit))
    return failure{errc::overloaded, "there are " + std::to_string(limit)
                                       + " open requests already"};
  auto x = std::make_shared<listener>();
  x->on_event = std::move(on_event);
  ++figures_.open;
  auto id = request_id{++figures_.accepted};
  listeners_.emplace(id, std::move(x));
  return id;
}

bool open_requests::has(request_id id) const {
  return find(id) != nullptr;
}

open_requests::listener_ptr open_requests::find(request_id id) const {
  std::lock_guard lock{mutex_};
  auto i = listeners_.find(id);
  return i == listeners_.end() ? nullptr : i->second;
}

void open_requests::deliver(request_id id, const generation_event& event) {
  if (auto x = find(id)) {
    std::lock_guard lock{x->mutex};
    hand_on(id, *x, event);
  }
}

void open_requests::fail(request_id id, const failure& cause) {
  if (auto x = find(id)) {
    std::lock_guard lock{x->mutex};
    generation_event last;
    last.first_position = x->position;
    last.finish = finish_reason::failed;
    last.cause = cause;
    hand_on(id, *x, last);
  }
}

/// Without the listener's mutex: its handler may be running, and wait.
void open_requests::enough(request_id id) {
  if (auto x = find(id))
    x->has_enough = true;
}

void open_requests::close(const failure& why) {
  std::map<request_id, listener_ptr> all;
  auto cause = why;
  {
    std::lock_guard lock{mutex_};
    if (!closed_)
      closed_ = why;
    cause = *closed_;
    all = listeners_;
  }
  // Also for a second caller: those whom the first has not told yet are told
  // here, and those whom it is telling are waited for.
  for (auto& [id, x] : all)
    fail(id, cause);
}

std::optional<failure> open_requests::closed() const {
  std::lock_guard lock{mutex_};
  return closed_;
}

open_requests::figures open_requests::counted() const {
  std::lock_guard lock{mutex_};
  return figures_;
}

/// Runs with the listener's mutex held.
void open_requests::hand_on(request_id id, listener& x,
                            const generation_event& event) {
  if (x.over)
    return;
  x.position = event.first_position + uint32_t(event.tokens.size());
  x.over = event.finish != finish_reason::none;
  if (x.over)
    count_end(event, x.has_enough); // before its client asks for the next one
  if (log_)
    log_->told(id, event);
  x.on_event(event);
  if (!x.over)
    return;
  // What it captures goes with it, not with whoever holds the listener last.
  x.on_event = {};
  // Last: whoever closes waits for those that are still here.
  std::lock_guard lock{mutex_};
  listeners_.erase(id);
}

void open_requests::count_end(const generation_event& last, bool has_enough) {
  std::lock_guard lock{mutex_};
  --figures_.open;
  bool is_cancelled = last.cause && last.cause->code == errc::cancelled;
  if (last.finish != finish_reason::failed || has_enough)
    ++figures_.finished;
  else if (is_cancelled)
    ++figures_.cancelled;
  else
    ++figures_.failed;
}

} // namespace troupe
