#include "runtime/transfer/transfer_target.hpp"

#include "kernels/check.hpp"

#include <algorithm>

namespace troupe {

transfer_target::transfer_target(transfer_key key, uint32_t num_chunks,
                                 transfer_writer writer,
                                 const transfer_limits& limits, instant now)
  : key_(key), writer_(writer), limits_(limits), chunks_(num_chunks),
    tries_(num_chunks), heard_(now) {
  CHECK(num_chunks > 0 && limits.max_tries > 0);
}

uint32_t transfer_target::reserve(uint32_t count) {
  CHECK(end_ == transfer_end::none && count <= chunks_.size() - reserved_);
  for (; count > 0; --count)
    chunks_[reserved_++] = state::reserved;
  return reserved_;
}

transfer_target::verdict transfer_target::arrived(const transfer_key& key,
                                                  uint32_t chunk,
                                                  bool is_intact, instant now) {
  if (key != key_ || chunk >= reserved_)
    return verdict::foreign;
  if (end_ != transfer_end::none)
    return verdict::over;
  heard_ = std::max(heard_, now);
  auto& x = chunks_[chunk];
  if (x != state::reserved)
    return verdict::known;
  ++tries_[chunk];
  if (is_intact) {
    x = state::written;
    return verdict::write;
  }
  if (tries_[chunk] >= limits_.max_tries)
    finish(transfer_end::failed, now);
  return verdict::damaged;
}

void transfer_target::landed(uint32_t chunk, instant now) {
  CHECK(chunk < chunks_.size() && chunks_[chunk] == state::written);
  if (end_ != transfer_end::none) {
    chunks_[chunk] = state_after_end();
    return;
  }
  chunks_[chunk] = state::landed;
  heard_ = std::max(heard_, now);
  if (++num_landed_ == chunks_.size()) {
    end_ = transfer_end::completed;
    ended_ = now;
  }
}

void transfer_target::renew(const transfer_key& key, instant now) {
  if (key == key_)
    heard_ = std::max(heard_, now);
}

void transfer_target::finish(transfer_end how, instant now) {
  CHECK(how != transfer_end::none && how != transfer_end::completed);
  if (end_ != transfer_end::none)
    return;
  end_ = how;
  ended_ = now;
  for (auto& x : chunks_)
    if (x == state::reserved)
      x = state_after_end();
}

void transfer_target::fence(const transfer_key& key) {
  if (key != key_)
    return;
  is_fenced_ = true;
  std::ranges::replace(chunks_, state::quarantined, state::free);
}

void transfer_target::check_lease(instant now) {
  if (now >= heard_ + limits_.lease && end_ == transfer_end::none)
    finish(transfer_end::expired, now);
}

std::vector<uint32_t> transfer_target::take_free(instant now) {
  auto is_over = end_ != transfer_end::none
                 && now >= ended_ + limits_.quarantine;
  std::vector<uint32_t> out;
  for (uint32_t i = 0; i < reserved_; ++i) {
    auto& x = chunks_[i];
    if (x == state::free || (x == state::quarantined && is_over)) {
      x = state::told;
      out.push_back(i);
    }
  }
  return out;
}

transfer_target::counts transfer_target::count() const {
  counts out;
  for (auto x : chunks_) {
    out.reserved += x == state::reserved;
    out.written += x == state::written;
    out.landed += x == state::landed;
    out.quarantined += x == state::quarantined;
    out.free += x == state::free || x == state::told;
  }
  return out;
}

} // namespace troupe
