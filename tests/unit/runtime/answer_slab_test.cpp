#include "runtime/dispatch/answer_slab.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

using namespace troupe;

namespace {

constexpr uint64_t row_bytes = 32;

using sections = std::vector<answer_section>;

std::vector<std::byte> slab_of(const sections& all) {
  uint64_t num_rows = 0;
  for (auto& x : all)
    num_rows += x.count;
  auto head = answer_head(all.size());
  std::vector<std::byte> out(head + num_rows * row_bytes);
  write_answer_head(out.data(), all);
  for (size_t i = head; i < out.size(); ++i)
    out[i] = std::byte(i);
  return out;
}

const sections some = {{2, 100, 3}, {7, 0, 1}, {65535, uint64_t{1} << 40, 2}};

} // namespace

TEST(AnswerSlab, ComesBackAsItWasSent) {
  for (size_t n = 1; n <= some.size(); ++n) {
    sections sent{some.begin(), some.begin() + long(n)};
    auto bytes = slab_of(sent);
    auto view = read_answers(bytes, row_bytes);
    ASSERT_TRUE(view) << view.why().message;
    sections back;
    for (uint32_t i = 0; i < view->num_sections(); ++i)
      back.push_back(view->section(i));
    EXPECT_EQ(back, sent);
    EXPECT_EQ(view->rows().data(), bytes.data() + answer_head(n));
    EXPECT_EQ(view->rows().size() % row_bytes, 0u);
  }
}

TEST(AnswerSlab, HasItsRowsAtAMultipleOf64) {
  for (uint64_t n = 1; n < 200; ++n) {
    EXPECT_EQ(answer_head(n) % 64, 0u);
    EXPECT_GE(answer_head(n), 8 + 16 * n);
    EXPECT_LT(answer_head(n), 8 + 16 * n + 64);
  }
}

TEST(AnswerSlab, WithoutSectionsOrRowsOrOrderIsRefused) {
  auto none = slab_of({{1, 0, 1}});
  none[0] = std::byte{0};
  EXPECT_FALSE(read_answers(none, row_bytes));
  for (const sections& wrong : {sections{{1, 0, 0}},
                                {{1, 0, 1}, {2, 0, 0}},
                                {{2, 0, 1}, {1, 0, 1}},
                                {{2, 0, 1}, {2, 5, 1}}})
    EXPECT_FALSE(read_answers(slab_of(wrong), row_bytes));
}

TEST(AnswerSlab, OfOtherRowsIsRefused) {
  auto bytes = slab_of(some);
  for (uint64_t other : {uint64_t{1}, row_bytes - 1, row_bytes + 1,
                         2 * row_bytes, uint64_t{1} << 50})
    EXPECT_FALSE(read_answers(bytes, other)) << other;
  bytes.resize(bytes.size() + row_bytes);
  EXPECT_FALSE(read_answers(bytes, row_bytes));
}

TEST(AnswerSlab, CutShortAnywhereIsRefused) {
  auto bytes = slab_of(some);
  for (size_t n = 0; n < bytes.size(); ++n) {
    std::vector<std::byte> cut{bytes.begin(), bytes.begin() + long(n)};
    EXPECT_FALSE(read_answers(cut, row_bytes)) << n;
  }
}

TEST(AnswerSlab, ManyBytesChangedIsRefusedOrInRange) {
  for (uint32_t seed = 1; seed <= 20000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    auto bytes = slab_of(some);
    for (auto n = random() % 4 + 1; n > 0; --n)
      bytes[random() % answer_head(some.size())] = std::byte(random());
    auto view = read_answers(bytes, row_bytes);
    if (!view)
      continue;
    uint64_t num_rows = 0;
    for (uint32_t i = 0; i < view->num_sections(); ++i) {
      EXPECT_GT(view->section(i).count, 0u);
      num_rows += view->section(i).count;
    }
    EXPECT_EQ(num_rows * row_bytes, view->rows().size());
  }
}
