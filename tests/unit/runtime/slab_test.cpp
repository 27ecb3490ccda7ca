#include "runtime/dispatch/slab.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>

using namespace troupe;

namespace {

constexpr uint32_t row_bytes = 48;

/// Bytes at an address as the transport gives them.
class aligned_bytes {
public:
  explicit aligned_bytes(std::span<const std::byte> from)
    : words_(from.size() / 8 + 1), size_(from.size()) {
    std::memcpy(words_.data(), from.data(), from.size());
  }

  std::byte& operator[](size_t i) {
    return reinterpret_cast<std::byte*>(words_.data())[i];
  }

  std::span<const std::byte> first(size_t n) const {
    return std::as_bytes(std::span{words_}).first(n);
  }

  std::span<const std::byte> all() const {
    return first(size_);
  }

private:
  std::vector<uint64_t> words_;
  size_t size_;
};

slab_plan small_plan() {
  slab_plan plan;
  plan.tokens = {4, 7, 9};
  plan.sections.push_back({2, {{0, 0, 2}, {3, 2, 1}}, {0, 2, 1}, {9, 4}});
  plan.sections.push_back({5, {{1, 0, 1}}, {2}, {65535}});
  return plan;
}

body make(const slab_plan& plan) {
  slab_pool pool{1 << 24};
  auto draft = draft_slab(pool, plan, row_bytes);
  EXPECT_TRUE(draft);
  for (size_t i = 0; i < plan.tokens.size() * row_bytes; ++i)
    draft->rows[i] = std::byte(i % 251);
  return draft->payload;
}

void expect_same(const slab_section& x, const slab_section& y) {
  EXPECT_EQ(x.worker, y.worker);
  EXPECT_EQ(x.row, y.row);
  EXPECT_EQ(x.experts, y.experts);
  ASSERT_EQ(x.slots.size(), y.slots.size());
  for (size_t i = 0; i < x.slots.size(); ++i) {
    EXPECT_EQ(x.slots[i].slot, y.slots[i].slot);
    EXPECT_EQ(x.slots[i].first, y.slots[i].first);
    EXPECT_EQ(x.slots[i].count, y.slots[i].count);
  }
}

/// What an expert worker relies on, whoever has sent the slab.
void expect_in_range(const slab_view& view) {
  EXPECT_EQ(view.rows.size(), uint64_t{view.num_rows} * row_bytes);
  ASSERT_FALSE(view.sections.empty());
  for (size_t s = 0; s < view.sections.size(); ++s) {
    auto& section = view.sections[s];
    if (s > 0) {
      EXPECT_LT(view.sections[s - 1].worker, section.worker);
    }
    for (auto row : section.row)
      EXPECT_LT(row, view.num_rows);
    ASSERT_FALSE(section.slots.empty());
    EXPECT_EQ(section.experts.size(), section.slots.size());
    uint64_t next = 0;
    for (auto& slot : section.slots) {
      EXPECT_EQ(slot.first, next);
      EXPECT_GT(slot.count, 0u);
      next += slot.count;
    }
    EXPECT_EQ(next, section.row.size());
  }
}

} // namespace

TEST(Slab, ComesBackAsItWasSent) {
  auto plan = small_plan();
  auto payload = make(plan);
  auto view = read_slab(payload.bytes(), row_bytes);
  ASSERT_TRUE(view) << view.why().message;
  EXPECT_EQ(view->num_rows, 3u);
  ASSERT_EQ(view->rows.size(), 3u * row_bytes);
  for (size_t i = 0; i < view->rows.size(); ++i)
    ASSERT_EQ(view->rows[i], std::byte(i % 251));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(view->rows.data()) % 64, 0u);
  ASSERT_EQ(view->sections.size(), 2u);
  expect_same(view->sections[0], plan.sections[0]);
  expect_same(view->sections[1], plan.sections[1]);
}

TEST(Slab, OfAnySizeComesBack) {
  for (uint32_t n : {1u, 60u, 2000u, 20000u}) {
    slab_plan plan;
    plan.tokens.resize(n);
    slab_section section{1, {{0, 0, n}}, std::vector<uint32_t>(n), {3}};
    std::iota(section.row.begin(), section.row.end(), 0);
    plan.sections = {section};
    auto payload = make(plan);
    auto view = read_slab(payload.bytes(), row_bytes);
    ASSERT_TRUE(view) << n << ": " << view.why().message;
    expect_same(view->sections.at(0), section);
  }
}

TEST(Slab, OfAllExpertsAndThousandsOfRowsComesBack) {
  slab_plan plan;
  plan.tokens.resize(8192);
  slab_section section;
  for (uint32_t slot = 0; slot < 256; ++slot) {
    section.slots.push_back({slot, slot * 256, 256});
    section.experts.push_back(uint16_t(slot + 1));
  }
  for (uint32_t i = 0; i < 65536; ++i)
    section.row.push_back(i % 8192);
  plan.sections = {section};
  auto payload = make(plan);
  auto view = read_slab(payload.bytes(), row_bytes);
  ASSERT_TRUE(view) << view.why().message;
  expect_same(view->sections.at(0), section);
}

TEST(Slab, NeedsRoomInThePool) {
  slab_pool pool{4096};
  auto first = draft_slab(pool, small_plan(), row_bytes);
  ASSERT_TRUE(first);
  auto second = draft_slab(pool, small_plan(), row_bytes);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.why().code, errc::overloaded);
}

TEST(Slab, OfOtherRowsIsRefused) {
  auto payload = make(small_plan());
  for (auto other : {0u, row_bytes - 16, row_bytes + 16, 3 * row_bytes}) {
    auto view = read_slab(payload.bytes(), other);
    ASSERT_FALSE(view) << other;
    EXPECT_EQ(view.why().code, errc::invalid_input);
  }
}

TEST(Slab, WhosePlanMakesNoSenseIsRefused) {
  std::vector<std::pair<const char*, slab_section>> cases = {
    {"index beyond the rows", {1, {{0, 0, 1}}, {3}, {}}},
    {"slots out of order", {1, {{3, 0, 1}, {2, 1, 1}}, {0, 1}, {}}},
    {"a slot twice", {1, {{3, 0, 1}, {3, 1, 1}}, {0, 1}, {}}},
    {"an empty slot", {1, {{3, 0, 0}, {4, 0, 1}}, {0}, {}}},
    {"more than its rows", {1, {{3, 0, 2}}, {0}, {}}},
    {"less than its rows", {1, {{3, 0, 1}}, {0, 1}, {}}},
    {"no slot", {1, {}, {}, {}}},
  };
  for (auto& [what, section] : cases) {
    auto plan = small_plan();
    plan.sections = {section};
    plan.sections[0].experts.resize(section.slots.size());
    EXPECT_FALSE(read_slab(make(plan).bytes(), row_bytes)) << what;
  }
}

TEST(Slab, WithAWorkerTwiceOrOutOfOrderIsRefused) {
  auto plan = small_plan();
  plan.sections[1].worker = plan.sections[0].worker;
  EXPECT_FALSE(read_slab(make(plan).bytes(), row_bytes));
  plan.sections[1].worker = 0;
  EXPECT_FALSE(read_slab(make(plan).bytes(), row_bytes));
}

TEST(Slab, WithoutSectionsIsRefused) {
  auto plan = small_plan();
  plan.sections.clear();
  EXPECT_FALSE(read_slab(make(plan).bytes(), row_bytes));
}

TEST(Slab, CountsDoNotWrapAround) {
  // 65536 slots of 65536 rows but the last: 2^32 + 70000 in all.
  constexpr uint32_t num_rows = 70000;
  slab_section section{1, {}, std::vector<uint32_t>(num_rows), {}};
  section.experts.resize(65536);
  uint64_t left = (uint64_t{1} << 32) + num_rows;
  for (uint32_t slot = 0; slot < 65536; ++slot) {
    auto others = 65535 - slot;
    auto count = uint32_t(std::min<uint64_t>(num_rows, left - others));
    section.slots.push_back({slot, 0, count});
    left -= count;
  }
  ASSERT_EQ(left, 0u);
  auto plan = small_plan();
  plan.sections = {section};
  EXPECT_FALSE(read_slab(make(plan).bytes(), row_bytes));
}

TEST(Slab, AtAnOddAddressIsRefused) {
  aligned_bytes bytes{make(small_plan()).bytes()};
  EXPECT_FALSE(read_slab(bytes.all().subspan(4), row_bytes));
}

TEST(Slab, CutShortAnywhereIsRefused) {
  aligned_bytes bytes{make(small_plan()).bytes()};
  for (size_t n = 0; n < bytes.all().size(); ++n)
    EXPECT_FALSE(read_slab(bytes.first(n), row_bytes)) << n;
}

TEST(Slab, WithAnyByteChangedIsRefusedOrInRange) {
  aligned_bytes bytes{make(small_plan()).bytes()};
  auto num_bytes = bytes.all().size() - 3 * row_bytes;
  for (size_t i = 0; i < num_bytes; ++i)
    for (int flip = 1; flip < 256; ++flip) {
      SCOPED_TRACE("byte " + std::to_string(i) + " ^ " + std::to_string(flip));
      bytes[i] ^= std::byte(flip);
      if (auto view = read_slab(bytes.all(), row_bytes))
        expect_in_range(*view);
      bytes[i] ^= std::byte(flip);
    }
}

TEST(Slab, WithManyBytesChangedIsRefusedOrInRange) {
  auto payload = make(small_plan());
  for (uint32_t seed = 1; seed <= 20000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    aligned_bytes bytes{payload.bytes()};
    for (auto n = random() % 6 + 2; n > 0; --n)
      bytes[random() % bytes.all().size()] = std::byte(random());
    auto length = random() % 4 ? bytes.all().size()
                               : random() % bytes.all().size();
    if (auto view = read_slab(bytes.first(length), row_bytes))
      expect_in_range(*view);
  }
}
