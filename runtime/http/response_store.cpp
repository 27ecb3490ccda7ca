#include "runtime/http/response_store.hpp"

#include "kernels/check.hpp"

namespace troupe::http {

namespace {

size_t size_of(const std::string& id, const stored_response& x) {
  auto size = id.size() + x.body.size()
              + x.pieces.size() * sizeof x.pieces.front();
  for (const auto& turn : x.turns) {
    size += sizeof turn + turn.content.size() + turn.reasoning.size()
            + turn.call_id.size();
    for (const auto& call : turn.tool_calls)
      size += sizeof call + call.name.size() + call.arguments.size()
              + call.id.size();
  }
  return size;
}

} // namespace

void response_store::put(const std::string& owner, const std::string& id,
                         stored_response what, instant now) {
  auto size = size_of(id, what);
  if (!is_on() || size > std::min(limits_.max_bytes, limits_.max_total_bytes))
    return;
  auto shared = std::make_shared<const stored_response>(std::move(what));
  std::lock_guard guard{mutex_};
  drop_old(now);
  while (size_ + size > limits_.max_total_bytes)
    drop_first(with_oldest());
  auto& to = shelves_[owner];
  while (!to.all.empty()
         && (to.all.size() >= limits_.max_count
             || to.size + size > limits_.max_bytes))
    drop_first(to);
  to.all.push_back({id, std::move(shared), size, now + limits_.kept_for});
  to.by_id[id] = std::prev(to.all.end());
  to.size += size;
  size_ += size;
}

std::shared_ptr<const stored_response>
response_store::find(const std::string& owner, const std::string& id,
                     instant now) {
  std::lock_guard guard{mutex_};
  drop_old(now);
  auto shelf = shelves_.find(owner);
  if (shelf == shelves_.end())
    return nullptr;
  auto x = shelf->second.by_id.find(id);
  return x == shelf->second.by_id.end() ? nullptr : x->second->what;
}

bool response_store::erase(const std::string& owner, const std::string& id,
                           instant now) {
  std::lock_guard guard{mutex_};
  drop_old(now);
  auto shelf = shelves_.find(owner);
  if (shelf == shelves_.end())
    return false;
  auto& from = shelf->second;
  auto x = from.by_id.find(id);
  if (x == from.by_id.end())
    return false;
  from.size -= x->second->size;
  size_ -= x->second->size;
  from.all.erase(x->second);
  from.by_id.erase(x);
  return true;
}

size_t response_store::count() const {
  std::lock_guard guard{mutex_};
  size_t out = 0;
  for (const auto& [owner, shelf] : shelves_)
    out += shelf.all.size();
  return out;
}

void response_store::drop_first(shelf& from) {
  from.size -= from.all.front().size;
  size_ -= from.all.front().size;
  from.by_id.erase(from.all.front().id);
  from.all.pop_front();
}

/// There is one. Everybody's are kept as long, so the first that ends is it.
response_store::shelf& response_store::with_oldest() {
  shelf* out = nullptr;
  for (auto& [owner, x] : shelves_)
    if (!x.all.empty() && (!out || x.all.front().end < out->all.front().end))
      out = &x;
  CHECK(out);
  return *out;
}

void response_store::drop_old(instant now) {
  for (auto x = shelves_.begin(); x != shelves_.end();) {
    auto& all = x->second.all;
    while (!all.empty() && all.front().end <= now)
      drop_first(x->second);
    x = all.empty() ? shelves_.erase(x) : std::next(x);
  }
}

} // namespace troupe::http
