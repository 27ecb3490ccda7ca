#pragma once

/// A store of small blocks in a folder of its own, and what they hold.

#include "runtime/kv_store/kv_store.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace troupe {

class KvStore : public testing::Test {
protected:
  static constexpr uint64_t block_bytes = 5'000; // no multiple of a page
  static constexpr uint64_t slot_bytes = 8'192;

  KvStore() {
    std::filesystem::create_directory(dir_);
    std::filesystem::permissions(dir_, std::filesystem::perms::owner_all);
  }

  kv_files_options options(uint64_t num_slots = 64) const {
    return {dir_, 4096 + num_slots * (slot_bytes + kv_record::header_bytes),
            block_bytes, identity_, 8};
  }

  /// Opens it, after the one before has been closed.
  void open(uint64_t num_slots = 64) {
    store_.reset();
    auto made = kv_store::open(options(num_slots));
    ASSERT_TRUE(made) << made.why().message;
    store_ = std::move(*made);
  }

  /// Blocks of which each follows the one before, of tokens that begin with
  /// `first`.
  static std::vector<kv_block> chain(int32_t first, uint32_t n,
                                     const std::string& salt = "",
                                     kv_key identity = identity_of("model")) {
    std::vector<kv_block> out;
    auto before = kv_chain{identity}.root(salt);
    for (uint32_t i = 0; i < n; ++i) {
      kv_block x;
      x.before = before;
      x.depth = i;
      for (uint32_t t = 0; t < kv_block::num_tokens; ++t)
        x.tokens[t] = first + int32_t(i * kv_block::num_tokens + t);
      x.multi_head = i % 2 ? UINT64_MAX : 0;
      before = x.key = kv_chain::next(x.before, x.tokens, x.multi_head);
      out.push_back(x);
    }
    return out;
  }

  /// What a block holds follows from what it is.
  static std::vector<std::byte> bytes_of(const kv_block& x) {
    std::vector<std::byte> out(block_bytes);
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = x.key.bytes[i % 32] ^ std::byte(i / 32);
    return out;
  }

  bool put(const kv_block& x) {
    auto ok = store_->put(x, bytes_of(x));
    return ok && *ok;
  }

  void put(const std::vector<kv_block>& all) {
    for (auto& x : all)
      EXPECT_TRUE(put(x));
  }

  /// Whether it is found; if it is, it is right.
  bool get(const kv_block& x) {
    std::vector<std::byte> out(block_bytes);
    if (!store_->get(x, out))
      return false;
    EXPECT_EQ(out, bytes_of(x));
    return true;
  }

  uint32_t num_got(const std::vector<kv_block>& all) {
    uint32_t out = 0;
    for (auto& x : all)
      out += get(x);
    return out;
  }

  std::filesystem::path file(uint32_t i = 0) const {
    return store_->path() / ("blocks-0000000" + std::to_string(i));
  }

  std::filesystem::path dir_ = scratch_dir() / "kv";
  kv_key identity_ = identity_of("model");
  std::unique_ptr<kv_store> store_;
};

} // namespace troupe
