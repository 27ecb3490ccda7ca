#include "tests/unit/runtime/kv_store_fixture.hpp"

#include "runtime/kv_store/kv_tiers.hpp"

namespace troupe {

namespace {

class KvTiers : public KvStore {
protected:
  void make(uint64_t in_memory, bool has_disk) {
    tiers_ = {};
    if (in_memory > 0)
      tiers_.memory = kv_memory::make(*device_, in_memory * block_bytes,
                                      block_bytes);
    if (has_disk) {
      open();
      tiers_.store = std::shared_ptr{std::move(store_)};
    }
  }

  /// Where it was put: m, d, both or neither.
  std::string keep(const kv_block& x, bool may_write = true) {
    std::string out;
    if (auto place = tiers_.begin_keep(x)) {
      EXPECT_TRUE(tiers_.is_in_memory(x.key));
      tiers_.memory->end_write(place->slot, true);
      out += "m";
    }
    if (may_write && tiers_.is_to_be_written(x)) {
      auto ticket = tiers_.store->begin_write(x);
      EXPECT_TRUE(ticket);
      EXPECT_TRUE(tiers_.is_on_disk(x.key));
      tiers_.store->end_write(*ticket, true);
      out += "d";
    }
    return out;
  }

  std::array<uint32_t, 3> find(const std::vector<kv_block>& chain,
                               bool may_read = true) const {
    auto x = tiers_.find(chain, may_read);
    return {x.all, x.before_disk, x.on_disk};
  }

  using found = std::array<uint32_t, 3>;

  std::shared_ptr<kernels::device> device_
    = kernels::make_inline_device(0, kernels::make_reference_executor());
  kv_tiers tiers_;
};

} // namespace

TEST_F(KvTiers, KeepsABlockWhereTheOneBeforeItIs) {
  auto all = chain(0, 3);
  make(2, true);
  EXPECT_EQ(keep(all[1]), "") << "nobody would find it";
  EXPECT_EQ(keep(all[0]), "md");
  EXPECT_EQ(keep(all[0]), "") << "it is there";
  EXPECT_EQ(keep(all[1], false), "m");
  EXPECT_EQ(keep(all[2]), "") << "memory is full, nothing is before it on disk";
  make(2, false);
  EXPECT_EQ(keep(all[0]), "m");
  EXPECT_EQ(keep(all[1]), "m");
  make(0, true);
  EXPECT_EQ(keep(all[0]), "d");
  EXPECT_EQ(keep(all[0]), "");
}

TEST_F(KvTiers, FindsAChainOfWhichEachHasAPart) {
  auto all = chain(0, 5);
  make(2, true);
  EXPECT_EQ(find(all), (found{0, 0, 0}));
  for (auto& x : all)
    keep(x);
  // What a block stands on does not go for its sake.
  EXPECT_EQ(find(all), (found{5, 2, 3}));
  EXPECT_EQ(find(all, false), (found{2, 2, 0}));
  tiers_.drop(all[3].key);
  EXPECT_EQ(find(all), (found{3, 2, 1}));
  tiers_.drop(all[0].key);
  EXPECT_EQ(find(all), (found{0, 0, 0}));
}

TEST_F(KvTiers, WithoutADiskNoneHasMissed) {
  auto all = chain(0, 3);
  make(2, true);
  keep(all[0]);
  EXPECT_EQ(tiers_.find(all, true).missed, 2u);
  EXPECT_EQ(tiers_.find(all, false).missed, 0u) << "it is off";
  make(2, false);
  EXPECT_EQ(tiers_.find(all, true).missed, 0u);
}

/// Of a chain that is wanted each has a part.
TEST_F(KvTiers, BothHearWhatIsOfUse) {
  auto a = chain(0, 3), b = chain(1000, 1), c = chain(2000, 1);
  make(3, true);
  EXPECT_EQ(keep(a[0]), "md");
  EXPECT_EQ(keep(a[1]), "md");
  tiers_.store->end_write(*tiers_.store->begin_write(a[2]), true);
  EXPECT_EQ(keep(b[0]), "md");
  tiers_.touch(std::vector{a[0].key, a[1].key, a[2].key});
  EXPECT_EQ(keep(c[0]), "md");
  EXPECT_EQ(find(a), (found{3, 2, 1}));
  EXPECT_EQ(find(b), (found{1, 0, 1}));
}

/// Each has a part of the chain, and others another one.
TEST_F(KvTiers, SaysWhatStandsOnABlock) {
  auto all = chain(0, 5), other = chain(1000, 2);
  make(2, true);
  for (auto& x : all)
    keep(x); // the first two in memory
  for (auto& x : other)
    tiers_.store->end_write(*tiers_.store->begin_write(x), true);
  auto behind = [&](std::vector<kv_block> some) {
    std::vector<kv_key> keys;
    for (auto& x : some)
      keys.push_back(x.key);
    return tiers_.with_what_stands_on(keys);
  };
  auto keys_of = [](std::vector<kv_block> some) {
    kv_key_set out;
    for (auto& x : some)
      out.insert(x.key);
    return out;
  };
  EXPECT_EQ(behind({all[1]}), keys_of({all[1], all[2], all[3], all[4]}));
  EXPECT_EQ(behind({all[4], other[1]}), keys_of({all[4], other[1]}));
  tiers_.store->drop(all[1].key); // memory still has it
  EXPECT_EQ(behind({all[0]}), keys_of(all));
}

TEST_F(KvTiers, AMemoryComparesTokensAndForms) {
  make(1, false);
  auto x = chain(0, 1)[0];
  keep(x);
  ASSERT_TRUE(tiers_.memory->begin_read(x));
  for (auto change : {0, 1}) {
    auto other = x;
    if (change == 0)
      other.tokens[63] += 1;
    else
      other.multi_head ^= 1;
    EXPECT_FALSE(tiers_.memory->begin_read(other));
  }
}

TEST_F(KvTiers, SaysWhatAMemoryTakes) {
  EXPECT_GE(kv_memory::num_bytes(10 * block_bytes, block_bytes),
            10 * block_bytes);
  EXPECT_LT(kv_memory::num_bytes(10 * block_bytes, block_bytes),
            12 * block_bytes);
  EXPECT_EQ(kv_memory::make(*device_, 1, block_bytes)->index().num_slots(), 1u)
    << "less than a block is one";
}

} // namespace troupe
