#include "runtime/dispatch/answer_collector.hpp"

#include "kernels/check.hpp"

#include <algorithm>

namespace troupe {

answer_collector::answer_collector(std::span<const slab_section> sections,
                                   uint64_t first, uint64_t row_bytes,
                                   uint32_t frame_rows)
  : first_(first), row_bytes_(row_bytes), frame_rows_(frame_rows) {
  CHECK(frame_rows > 0);
  base_.reserve(sections.size());
  for (auto& x : sections) {
    base_.push_back(num_rows_);
    add(x.worker, static_cast<uint32_t>(x.row.size()));
  }
  for (auto& x : frames_) {
    x->head = answer_head(x->sections.size());
    x->num_missing = x->num_rows;
  }
}

/// Puts the rows of a section into frames.
void answer_collector::add(worker_id worker, uint32_t num_rows) {
  while (num_rows > 0) {
    if (num_rows_ % frame_rows_ == 0)
      frames_.push_back(std::make_unique<frame>());
    auto& last = *frames_.back();
    auto n = std::min(num_rows, frame_rows_ - last.num_rows);
    last.sections.push_back({worker, first_ + num_rows_, n});
    last.num_rows += n;
    num_rows_ += n;
    num_rows -= n;
  }
}

slab_pool::room answer_collector::claim(slab_pool& pool,
                                        const std::function<void()>& on_room) {
  using room = slab_pool::room;
  std::lock_guard guard{mutex_};
  if (is_claimed_)
    return room::there;
  std::vector<uint64_t> sizes;
  for (auto& x : frames_)
    sizes.push_back(x->head + x->num_rows * row_bytes_);
  std::vector<slab_pool::slab> slabs;
  if (auto what = pool.take_all(sizes, on_room, slabs); what != room::there)
    return what;
  for (size_t i = 0; i < frames_.size(); ++i) {
    frames_[i]->slab = std::move(slabs[i]);
    write_answer_head(frames_[i]->slab.data.get(), frames_[i]->sections);
  }
  is_claimed_ = true;
  return room::there;
}

} // namespace troupe
