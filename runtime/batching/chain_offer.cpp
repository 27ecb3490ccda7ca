#include "runtime/batching/chain_offer.hpp"

#include "kernels/check.hpp"

namespace troupe {

chain_offer::chain_offer(prefix_cache& cache,
                         std::shared_ptr<const generation_request> request,
                         std::span<const int32_t> answered)
  : cache_(cache) {
  of_.forms = forms_of_prompt(request->prompt.size(), request->segments);
  of_.request = std::move(request);
  of_.answer = one_more(answered);
}

chain_offer::~chain_offer() {
  for (auto& [i, block] : lent_)
    cache_.release(block);
  for (auto block = held_.rbegin(); block != held_.rend(); ++block)
    cache_.release(*block);
}

uint32_t chain_offer::look() {
  find_prefix(cache_, of_);
  // What was spoilt meanwhile is not found, and its successors are not either.
  for (auto i = held_.size(); i < of_.found.size(); ++i) {
    cache_.hold(of_.found[i].block);
    held_.push_back(of_.found[i].block);
  }
  return static_cast<uint32_t>(held_.size());
}

void chain_offer::lend(uint32_t i, uint32_t block) {
  CHECK(!lent_.contains(i));
  cache_.hold(block);
  lent_[i] = block;
}

void chain_offer::give_back(uint32_t i) {
  if (auto x = lent_.extract(i); !x.empty())
    cache_.release(x.mapped());
}

std::vector<int32_t> one_more(std::span<const int32_t> answered) {
  std::vector<int32_t> out{answered.begin(), answered.end()};
  out.push_back(0);
  return out;
}

} // namespace troupe
