/// How much of the prompts of a real trace the cache on a disk saves, against
/// its size, with the store that serves and its files.
///
///   hit_share_bench TRACES_DIR DIR
///
/// Mooncake's conversations, an eighth as long: its blocks of 512 tokens are
/// ours of 64, and prompts end at 4,032. Requests come one by one; each reads
/// what is there of its beginning and writes the rest. Beside it a plain LRU of
/// as many blocks, and one without limit: what can be had at all. A share is of
/// all tokens of prompts; the last token of each is always computed.

#include "runtime/kv_store/kv_store.hpp"
#include "tests/bench/traced_prompts.hpp"

#include <cstdio>
#include <cstring>
#include <list>
#include <optional>
#include <unordered_map>

namespace troupe {

namespace {

constexpr uint64_t block_bytes = 1024; ///< Only their number counts here.
constexpr uint32_t shorter = traced_prompt::block_tokens / kv_block::num_tokens;
constexpr uint32_t max_tokens = 4032;

/// What a cache sees of a prompt.
struct asked {
  uint32_t tokens = 0;
  std::vector<kv_block> full; ///< In order.

  /// A prompt may begin with so many of them.
  uint32_t num_of_use() const {
    return (tokens - 1) / kv_block::num_tokens;
  }
};

asked asked_of(const traced_prompt& x, const kv_chain& chain) {
  asked out;
  out.tokens = std::min((x.tokens + shorter - 1) / shorter, max_tokens);
  auto before = chain.root("");
  for (uint32_t i = 0; i < out.tokens / kv_block::num_tokens; ++i) {
    kv_block block;
    block.before = before;
    block.depth = i;
    for (uint32_t t = 0; t < kv_block::num_tokens; ++t)
      block.tokens[t] = int32_t(x.blocks[i] * kv_block::num_tokens + t);
    block.key = kv_chain::next(before, block.tokens, 0);
    before = block.key;
    out.full.push_back(block);
  }
  return out;
}

/// The plain twin: touched from the last block to the first, then cut.
class plain_lru {
public:
  explicit plain_lru(uint64_t max_blocks) : max_blocks_(max_blocks) {
  }

  /// Blocks that it had of the beginning.
  uint32_t ask(const asked& x) {
    uint32_t found = 0;
    while (found < x.num_of_use() && where_.contains(x.full[found].key))
      ++found;
    for (auto i = x.full.rbegin(); i != x.full.rend(); ++i) {
      if (auto known = where_.find(i->key); known != where_.end())
        order_.erase(known->second);
      order_.push_back(i->key);
      where_[i->key] = std::prev(order_.end());
    }
    for (; where_.size() > max_blocks_; order_.pop_front())
      where_.erase(order_.front());
    return found;
  }

  uint64_t num_blocks() const {
    return where_.size();
  }

private:
  uint64_t max_blocks_;
  std::list<kv_key> order_; ///< The oldest first.
  std::unordered_map<kv_key, std::list<kv_key>::iterator, kv_key_hash> where_;
};

/// The store, used as a keeper does.
class on_disk {
public:
  explicit on_disk(std::unique_ptr<kv_store> store) : store_(std::move(store)) {
  }

  uint32_t ask(const asked& x) {
    std::span chain{x.full.data(), x.num_of_use()};
    auto there = store_->index().num_found(chain);
    if (there > 0)
      store_->touch(chain[there - 1].key);
    uint32_t found = 0;
    for (; found < there && read(chain[found]); ++found)
      ;
    for (auto& block : std::span{x.full}.subspan(found))
      write(block);
    return found;
  }

  uint64_t num_wrong() const {
    return num_wrong_;
  }

private:
  /// A block's bytes begin with its name.
  bool read(const kv_block& x) {
    if (!store_->get(x, bytes_))
      return false;
    num_wrong_ += std::memcmp(bytes_.data(), &x.key, sizeof x.key) != 0;
    return true;
  }

  void write(const kv_block& x) {
    std::memcpy(bytes_.data(), &x.key, sizeof x.key);
    (void)store_->put(x, bytes_); // what has no room is a miss
  }

  std::unique_ptr<kv_store> store_;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(block_bytes);
  uint64_t num_wrong_ = 0;
};

std::optional<on_disk> store_of(const std::filesystem::path& dir,
                                uint64_t num_blocks) {
  kv_files_options options;
  options.dir = dir / std::to_string(num_blocks);
  std::filesystem::remove_all(options.dir);
  options.block_bytes = block_bytes;
  options.identity = identity_of("hit_share_bench");
  options.slots_of_file = 1000;
  options.max_bytes = num_blocks * block_bytes;
  while (kv_files::num_slots_of(options.max_bytes, block_bytes) < num_blocks)
    options.max_bytes += block_bytes;
  auto store = kv_store::open(options);
  if (!store) {
    std::fprintf(stderr, "%s\n", store.why().message.c_str());
    return std::nullopt;
  }
  return on_disk{std::move(*store)};
}

/// Of all tokens of `prompts`, those that `cache` had.
template <class Cache>
double share_of(const std::vector<asked>& prompts, Cache& cache) {
  uint64_t had = 0, all = 0;
  for (auto& x : prompts) {
    had += uint64_t{cache.ask(x)} * kv_block::num_tokens;
    all += x.tokens;
  }
  return double(had) / double(all);
}

int main(const std::filesystem::path& folder,
         const std::filesystem::path& dir) {
  auto trace = read_prompts(folder / "mooncake_conversation.csv");
  if (trace.empty()) {
    std::fprintf(stderr, "there is no mooncake_conversation.csv\n");
    return 1;
  }
  kv_chain chain{identity_of("hit_share_bench")};
  std::vector<asked> prompts;
  for (auto& x : trace)
    prompts.push_back(asked_of(x, chain));
  plain_lru unlimited{UINT64_MAX};
  auto most = share_of(prompts, unlimited);
  auto distinct = unlimited.num_blocks();
  std::printf("%zu prompts, %llu blocks that differ; without limit %.4f of all "
              "tokens are there\n%10s %8s %8s %10s\n",
              prompts.size(), static_cast<unsigned long long>(distinct), most,
              "blocks", "disk", "LRU", "of most");
  uint64_t num_wrong = 0;
  for (uint64_t size : {uint64_t{1000}, uint64_t{3000}, uint64_t{10'000},
                        uint64_t{30'000}, uint64_t{100'000}, distinct}) {
    auto disk = store_of(dir, size);
    if (!disk)
      return 1;
    plain_lru lru{size};
    auto share = share_of(prompts, *disk);
    std::printf("%10llu %8.4f %8.4f %9.2f%%\n",
                static_cast<unsigned long long>(size), share,
                share_of(prompts, lru), 100 * share / most);
    std::fflush(stdout);
    num_wrong += disk->num_wrong();
    std::filesystem::remove_all(dir / std::to_string(size));
  }
  if (num_wrong > 0)
    std::fprintf(stderr, "%llu blocks were not those that were asked for\n",
                 static_cast<unsigned long long>(num_wrong));
  return num_wrong > 0;
}

} // namespace

} // namespace troupe

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: hit_share_bench TRACES_DIR DIR\n");
    return 2;
  }
  return troupe::main(argv[1], argv[2]);
}
