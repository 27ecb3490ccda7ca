#include "runtime/transfer/transfer_source.hpp"

#include "kernels/check.hpp"

#include <algorithm>

namespace troupe {

transfer_source::transfer_source(transfer_key key, uint32_t num_chunks,
                                 uint64_t chunk_bytes,
                                 const transfer_limits& limits, instant now)
  : key_(key), chunk_bytes_(chunk_bytes), limits_(limits), chunks_(num_chunks),
    heard_(now), allowed_(now) {
  CHECK(num_chunks > 0 && limits.window > 0 && limits.max_tries > 0);
}

void transfer_source::make_ready(uint32_t end, instant now) {
  CHECK(end <= chunks_.size());
  if (num_out_ == 0 && ready_ <= granted_) // it owed nothing until now
    heard_ = std::max(heard_, now);
  ready_ = std::max(ready_, end);
}

void transfer_source::grant(const transfer_key& key, uint32_t end,
                            instant now) {
  if (key != key_ || end > chunks_.size())
    return;
  granted_ = std::max(granted_, end);
  heard_ = std::max(heard_, now);
}

std::optional<uint32_t> transfer_source::first_waiting() const {
  auto end = std::min(ready_, granted_);
  if (end_ != transfer_end::none || num_out_ >= limits_.window)
    return std::nullopt;
  for (auto i = first_open_; i < end; ++i) {
    auto& x = chunks_[i];
    if (!x.is_out && !x.is_read && !x.has_landed)
      return i;
  }
  return std::nullopt;
}

std::optional<uint32_t> transfer_source::next(instant now) {
  auto out = first_waiting();
  if (!out || now < allowed_)
    return std::nullopt;
  if (num_out_ == 0)
    heard_ = std::max(heard_, now);
  auto& x = chunks_[*out];
  x.is_read = x.is_out = true;
  ++x.tries;
  ++num_read_;
  ++num_out_;
  if (limits_.bytes_per_second > 0) {
    std::chrono::duration<double> takes{double(chunk_bytes_)
                                        / double(limits_.bytes_per_second)};
    allowed_ = std::max(allowed_, now)
               + std::chrono::duration_cast<instant::duration>(takes);
  }
  return out;
}

std::optional<transfer_source::instant> transfer_source::wakes_at() const {
  return first_waiting() ? std::optional{allowed_} : std::nullopt;
}

void transfer_source::sent(uint32_t chunk) {
  CHECK(chunk < chunks_.size() && chunks_[chunk].is_read);
  chunks_[chunk].is_read = false;
  --num_read_;
}

/// The word of a stranger, or one that comes twice, changes nothing.
bool transfer_source::is_current(const transfer_key& key,
                                 uint32_t chunk) const {
  return key == key_ && end_ == transfer_end::none && chunk < chunks_.size()
         && chunks_[chunk].is_out;
}

void transfer_source::landed(const transfer_key& key, uint32_t chunk,
                             instant now) {
  if (!is_current(key, chunk))
    return;
  auto& x = chunks_[chunk];
  x.is_out = false;
  x.has_landed = true;
  --num_out_;
  heard_ = std::max(heard_, now);
  while (first_open_ < chunks_.size() && chunks_[first_open_].has_landed)
    ++first_open_;
  if (++num_landed_ == chunks_.size())
    end_ = transfer_end::completed;
}

void transfer_source::damaged(const transfer_key& key, uint32_t chunk,
                              instant now) {
  if (!is_current(key, chunk))
    return;
  auto& x = chunks_[chunk];
  x.is_out = false;
  --num_out_;
  heard_ = std::max(heard_, now);
  if (x.tries >= limits_.max_tries)
    finish(transfer_end::failed);
}

void transfer_source::finish(transfer_end how) {
  CHECK(how != transfer_end::none && how != transfer_end::completed);
  if (end_ == transfer_end::none)
    end_ = how;
}

void transfer_source::check_lease(instant now) {
  auto is_owed = num_out_ > 0 || ready_ > granted_;
  if (is_owed && now >= heard_ + limits_.lease)
    finish(transfer_end::expired);
}

} // namespace troupe
