#include "runtime/batching/chain_fetch.hpp"

#include "kernels/check.hpp"

namespace troupe {

chain_fetch::chain_fetch(prefix_cache& cache,
                         std::shared_ptr<const generation_request> request,
                         std::span<const int32_t> answered)
  : cache_(cache) {
  of_.forms = forms_of_prompt(request->prompt.size(), request->segments);
  of_.request = std::move(request);
  of_.answer.assign(answered.begin(), answered.end());
  find_prefix(cache_, of_);
  num_found_ = static_cast<uint32_t>(of_.found.size());
  take_prefix(cache_, of_); // num_sealed, sealed and sealed_key follow
  held_ = *of_.blocks;
  auto at = next_place(cache_, of_);
  for (auto i = num_found_; i < num_prefix_blocks(of_); ++i) {
    auto x = of_.content_of(i, 0);
    auto key = kv_chain::next(at.before, x.tokens, x.multi_head);
    missing_.push_back({key, at.before, i, x.tokens, x.multi_head});
    at.before = key;
  }
}

chain_fetch::~chain_fetch() {
  let_go();
  for (auto& [i, x] : landing_)
    cache_.release(x.block);
}

uint32_t chain_fetch::num_tokens_before() const {
  return num_found_ * kv_block::num_tokens;
}

void chain_fetch::expect(uint32_t count) {
  CHECK(count <= missing_.size());
  num_expected_ = count;
  is_told_ = true;
  end_ = is_gone_ ? 0 : count;
}

std::optional<uint32_t> chain_fetch::take(uint32_t i, uint32_t reserve,
                                          bool is_kept) {
  auto has_room = cache_.num_available() > reserve;
  auto block = i < end_ && !is_gone_ && has_room ? cache_.take() : std::nullopt;
  if (!block) {
    lose(i);
    return std::nullopt;
  }
  ++num_told_;
  landing_[i] = {*block, is_kept, false};
  return block;
}

void chain_fetch::lose(uint32_t i) {
  ++num_told_;
  cut(i);
}

void chain_fetch::land(uint32_t i, bool ok) {
  auto x = landing_.find(i);
  CHECK(x != landing_.end());
  if (ok && i < end_) {
    x->second.is_whole = true;
    return seal_next();
  }
  cache_.release(x->second.block);
  landing_.erase(x);
  cut(i);
}

/// What has landed and follows what is known.
void chain_fetch::seal_next() {
  for (auto x = landing_.find(num_known_);
       x != landing_.end() && x->second.is_whole;
       x = landing_.find(num_known_)) {
    auto landed = x->second;
    auto& what = missing_[num_known_];
    auto depth = num_found_ + num_known_;
    landing_.erase(x);
    of_.sealed = cache_.seal(of_.content_of(depth, of_.sealed), landed.block,
                             {what.before, depth}, !landed.is_kept);
    held_.push_back(landed.block);
    ++num_known_;
  }
}

/// From here on nothing is of use; who is written to is let go when it lands.
void chain_fetch::cut(uint32_t end) {
  end_ = std::min(end_, end);
  std::erase_if(landing_, [&](auto& x) {
    auto goes = x.first >= end_ && x.second.is_whole;
    if (goes)
      cache_.release(x.second.block);
    return goes;
  });
}

void chain_fetch::let_go() {
  is_gone_ = true;
  cut(0);
  for (auto i = held_.rbegin(); i != held_.rend(); ++i)
    cache_.release(*i);
  held_.clear();
}

} // namespace troupe
