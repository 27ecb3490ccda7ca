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
  for (; ready_ < end; ++ready_)
    early_out_ -= chunks_[ready_].left;
}

void transfer_source::grow(uint32_t chunk, uint64_t bytes) {
  CHECK(chunk < chunks_.size() && bytes < chunk_bytes_);
  chunks_[chunk].grown = std::max(chunks_[chunk].grown, bytes);
  end_grown_ = std::max(end_grown_, chunk + 1);
}

void transfer_source::withdraw(uint32_t chunk) {
  CHECK(chunk < chunks_.size());
  chunks_[chunk].grown = 0;
}

void transfer_source::grant(const transfer_key& key, uint32_t end,
                            instant now) {
  if (key != key_ || end > chunks_.size())
    return;
  granted_ = std::max(granted_, end);
  heard_ = std::max(heard_, now);
}

std::optional<transfer_piece> transfer_source::first_waiting(bool early) const {
  if (end_ != transfer_end::none)
    return std::nullopt;
  auto end = std::min(ready_, granted_);
  for (auto i = first_open_; i < end; ++i) {
    auto& x = chunks_[i];
    if (x.is_out || x.is_read || x.has_landed)
      continue;
    transfer_piece out{i, x.left, chunk_bytes_ - x.left};
    auto fits = rests_out_ + out.count <= limits_.window * chunk_bytes_;
    return fits ? std::optional{out} : std::nullopt;
  }
  return early ? least_grown() : std::nullopt;
}

std::optional<transfer_piece> transfer_source::least_grown() const {
  std::optional<transfer_piece> out;
  if (early_out_ >= limits_.early_bytes)
    return out;
  auto end = std::min(end_grown_, granted_);
  for (auto i = ready_; i < end; ++i) {
    auto& x = chunks_[i];
    if (!x.is_read && x.grown > x.left && (!out || x.left < out->first))
      out = {i, x.left, x.grown - x.left};
  }
  if (out)
    out->count = std::min(out->count, limits_.early_bytes - early_out_);
  return out;
}

std::optional<transfer_piece> transfer_source::next(instant now, bool early) {
  auto out = first_waiting(early);
  if (!out || now < allowed_)
    return std::nullopt;
  auto& x = chunks_[out->chunk];
  x.is_read = true;
  x.left += out->count;
  ++num_read_;
  if (out->chunk < ready_) {
    if (num_out_ == 0)
      heard_ = std::max(heard_, now);
    x.is_out = true;
    x.rest = out->count;
    rests_out_ += x.rest;
    ++x.tries;
    ++num_out_;
  } else {
    early_out_ += out->count;
  }
  if (limits_.bytes_per_second > 0) {
    std::chrono::duration<double> takes{double(out->count)
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
  rests_out_ -= x.rest;
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
  rests_out_ -= x.rest;
  x.left = 0; // all of it once more
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
