#include "runtime/tracing/request_log.hpp"

namespace troupe {

void request_log::accepted(request_id id, const generation_request& what) {
  request_span x;
  x.number = id;
  x.name = what.name;
  x.begin = time_.now();
  x.num_prompt = static_cast<uint32_t>(what.prompt.size());
  std::lock_guard lock{mutex_};
  open_.insert_or_assign(id, std::move(x));
}

void request_log::given(request_id id, uint16_t rank) {
  std::lock_guard lock{mutex_};
  if (auto i = open_.find(id); i != open_.end())
    i->second.owners.push_back({time_.now(), rank});
}

void request_log::told(request_id id, const generation_event& what) {
  {
    std::lock_guard lock{mutex_};
    auto i = open_.find(id);
    if (i == open_.end())
      return;
    auto& x = i->second;
    if (x.num_answer == 0 && !what.tokens.empty())
      x.first_token = time_.now();
    x.num_answer += static_cast<uint32_t>(what.tokens.size());
  }
  if (what.finish != finish_reason::none)
    ended(id);
}

void request_log::ended(request_id id) {
  std::lock_guard lock{mutex_};
  auto i = open_.find(id);
  if (i == open_.end())
    return;
  i->second.end = time_.now();
  if (ring_.size() < max_kept)
    ring_.push_back(std::move(i->second));
  else
    ring_[num_ended_ % max_kept] = std::move(i->second);
  ++num_ended_;
  open_.erase(i);
}

std::vector<request_span> request_log::read() const {
  std::lock_guard lock{mutex_};
  std::vector<request_span> out;
  out.reserve(ring_.size() + open_.size());
  for (size_t i = 0; i < ring_.size(); ++i)
    out.push_back(ring_[(num_ended_ + i) % ring_.size()]);
  for (auto& [id, x] : open_) {
    out.push_back(x);
    out.back().end = time_.now();
  }
  return out;
}

} // namespace troupe
