#include "runtime/transport/ucx_sessions.hpp"

#include <algorithm>

namespace troupe {

namespace {

template <class Map, class Key>
session_ptr find_in(const Map& map, const Key& key) {
  auto i = map.find(key);
  return i == map.end() ? nullptr : i->second;
}

/// Another session may have the key by now.
template <class Map, class Key>
void erase_if_same(Map& map, const Key& key, const session_ptr& x) {
  if (auto i = map.find(key); i != map.end() && i->second == x)
    map.erase(i);
}

} // namespace

void ucx_sessions::add(const session_ptr& x) {
  CHECK(by_line_.emplace(x->line(), x).second);
  CHECK(by_incarnation_.emplace(x->incarnation(), x).second);
}

void ucx_sessions::add_link(const session_ptr& x) {
  by_link_[x->link().get()] = x;
}

void ucx_sessions::add_joined(const session_ptr& x) {
  CHECK(joined_.emplace(x->peer()->id, x).second);
  x->is_joined = true;
}

void ucx_sessions::free_place(const ucx_session& x) {
  if (auto i = joined_.find(x.peer()->id);
      i != joined_.end() && i->second.get() == &x)
    joined_.erase(i);
}

session_ptr ucx_sessions::find(node_id joined_peer) const {
  return find_in(joined_, joined_peer);
}

session_ptr ucx_sessions::find_line(line_id line) const {
  return find_in(by_line_, line);
}

session_ptr ucx_sessions::find_link(const ucx_link& link) const {
  return find_in(by_link_, &link);
}

session_ptr ucx_sessions::find_incarnation(uint64_t incarnation) const {
  return find_in(by_incarnation_, incarnation);
}

void ucx_sessions::offer(ucx_session& to, ucx_session::parcel x) {
  auto was_waiting = to.is_waiting();
  to.offer(std::move(x));
  if (!was_waiting && to.is_waiting())
    congested_.push_back(by_line_.at(to.line()));
}

bool ucx_sessions::pump() {
  auto has_sent = false;
  std::erase_if(congested_, [&](auto& x) {
    has_sent |= x->pump();
    return x->is_over || !x->is_waiting();
  });
  return has_sent;
}

void ucx_sessions::end(ucx_session& x, errc code, std::string why) {
  if (std::exchange(x.is_over, true))
    return;
  x.code = code;
  x.why_over = std::move(why);
  over_.push_back(by_line_.at(x.line()));
}

std::vector<session_ptr> ucx_sessions::bury() {
  auto out = std::exchange(over_, {});
  for (auto& x : out)
    forget(x);
  return out;
}

void ucx_sessions::forget(const session_ptr& x) {
  by_line_.erase(x->line());
  erase_if_same(by_incarnation_, x->incarnation(), x);
  free_place(*x);
  std::erase(congested_, x);
  x->close();
  if (!x->link())
    return;
  by_link_.erase(x->link().get());
  closing_.push_back(x->link());
}

void ucx_sessions::close_all() {
  for (auto& [line, x] : std::map{by_line_})
    end(*x, errc::cancelled, {});
  bury();
}

bool ucx_sessions::is_closing() {
  std::erase_if(closing_, [](auto& link) { return link->is_closed(); });
  return !closing_.empty();
}

} // namespace troupe
