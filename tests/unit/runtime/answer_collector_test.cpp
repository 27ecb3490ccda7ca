#include "runtime/dispatch/answer_collector.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

using namespace troupe;

namespace {

using room = slab_pool::room;

constexpr uint64_t row_bytes = 16;
constexpr uint64_t first = 100;

std::vector<slab_section> sections_of(const std::vector<uint32_t>& sizes) {
  std::vector<slab_section> out;
  for (uint32_t i = 0; i < sizes.size(); ++i)
    out.push_back({worker_id(2 * i), {}, std::vector<uint32_t>(sizes[i]), {}});
  return out;
}

/// Rows of `section` that carry their own number, written as a worker would.
void write(answer_collector& to, uint32_t section, uint32_t from,
           uint32_t count, uint32_t base) {
  to.for_each_place(section, from, count,
                    [&](std::byte* at, uint32_t row, uint32_t n) {
                      for (uint32_t i = 0; i < n; ++i, at += row_bytes) {
                        uint64_t number = base + row + i;
                        std::memcpy(at, &number, 8);
                      }
                    });
}

/// Checks that frames hold every row once, where its number says. Returns how
/// many rows there are.
uint64_t check(const std::vector<body>& frames) {
  std::vector<uint64_t> seen;
  for (auto& x : frames) {
    auto view = read_answers(x.bytes(), row_bytes);
    if (!view) {
      ADD_FAILURE() << view.why().message;
      continue;
    }
    auto rows = view->rows();
    for (uint32_t i = 0; i < view->num_sections(); ++i)
      for (uint32_t k = 0; k < view->section(i).count; ++k) {
        uint64_t number = 0;
        std::memcpy(&number, rows.data(), 8);
        EXPECT_EQ(first + number, view->section(i).first + k);
        seen.push_back(number);
        rows = rows.subspan(row_bytes);
      }
  }
  std::ranges::sort(seen);
  for (uint64_t i = 0; i < seen.size(); ++i)
    EXPECT_EQ(seen[i], i);
  return seen.size();
}

} // namespace

TEST(AnswerCollector, SendsOneFrameWhenTheLastRowIsWritten) {
  slab_pool pool{1 << 20};
  auto sections = sections_of({3, 2});
  answer_collector x{sections, first, row_bytes, 64};
  EXPECT_FALSE(x.is_claimed());
  ASSERT_EQ(room::there, x.claim(pool, [] { FAIL(); }));
  std::vector<body> frames;
  auto send = [&](body frame) { frames.push_back(std::move(frame)); };
  write(x, 1, 0, 2, 3);
  x.written(1, 0, 2, send);
  write(x, 0, 0, 1, 0);
  x.written(0, 0, 1, send);
  EXPECT_TRUE(frames.empty());
  write(x, 0, 1, 2, 0);
  x.written(0, 1, 2, send);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(check(frames), 5u);
  auto view = read_answers(frames[0].bytes(), row_bytes);
  EXPECT_EQ(view->section(0), (answer_section{0, first, 3}));
  EXPECT_EQ(view->section(1), (answer_section{2, first + 3, 2}));
}

TEST(AnswerCollector, CutsFramesThatAreNoLongerThanAllowed) {
  slab_pool pool{1 << 20};
  auto sections = sections_of({3, 5, 1});
  answer_collector x{sections, first, row_bytes, 4};
  ASSERT_EQ(room::there, x.claim(pool, [] { FAIL(); }));
  std::vector<body> frames;
  auto send = [&](body frame) { frames.push_back(std::move(frame)); };
  uint32_t base = 0;
  for (uint32_t i = 0; i < 3; ++i) {
    auto n = uint32_t(sections[i].row.size());
    write(x, i, 0, n, base);
    x.written(i, 0, n, send);
    base += n;
  }
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(check(frames), 9u);
}

TEST(AnswerCollector, ClaimsOnceForAllAndSaysWhenThereMayBeRoom) {
  slab_pool pool{4096};
  auto sections = sections_of({3});
  answer_collector a{sections, first, row_bytes, 64};
  int num_calls = 0;
  auto on_room = [&] { ++num_calls; };
  auto held = pool.take(4096);
  EXPECT_EQ(a.claim(pool, on_room), room::later);
  EXPECT_FALSE(a.is_claimed());
  held.reset();
  EXPECT_EQ(num_calls, 1);
  EXPECT_EQ(a.claim(pool, on_room), room::there);
  EXPECT_EQ(a.claim(pool, on_room), room::there) << "by another worker";
  EXPECT_FALSE(pool.take(1));
}

TEST(AnswerCollector, SaysWhenItsAnswersWillNeverFit) {
  slab_pool pool{4096};
  auto sections = sections_of({3, 300});
  answer_collector x{sections, first, row_bytes, 1000};
  EXPECT_EQ(x.claim(pool, [] { FAIL(); }), room::never);
  EXPECT_FALSE(x.is_claimed());
}

TEST(AnswerCollector, GivesItsMemoryBackWithTheFrameOrItself) {
  slab_pool pool{4096};
  auto sections = sections_of({1});
  {
    answer_collector never_written{sections, first, row_bytes, 64};
    ASSERT_EQ(never_written.claim(pool, [] {}), room::there);
  }
  answer_collector x{sections, first, row_bytes, 64};
  ASSERT_EQ(x.claim(pool, [] {}), room::there);
  write(x, 0, 0, 1, 0);
  x.written(0, 0, 1, [](body) {});
  EXPECT_TRUE(pool.take(1)) << "although it is still there";
}

/// Workers on threads of their own, in pieces of any size and order.
TEST(AnswerCollector, TakesTheRowsOfManyWorkersAtOnce) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    std::vector<uint32_t> sizes;
    for (auto n = 1 + random() % 4; n > 0; --n)
      sizes.push_back(1 + random() % 50);
    auto sections = sections_of(sizes);
    slab_pool pool{1 << 22};
    answer_collector x{sections, first, row_bytes, 1 + uint32_t(random() % 40)};
    ASSERT_EQ(room::there, x.claim(pool, [] { FAIL(); }));
    std::mutex mutex;
    std::vector<body> frames;
    uint32_t base = 0;
    {
      std::vector<std::jthread> workers;
      for (uint32_t i = 0; i < sizes.size(); base += sizes[i++])
        workers.emplace_back([&, i, base, chance = random()] {
          std::mt19937 own{uint32_t(chance)};
          for (uint32_t at = 0; at < sizes[i];) {
            auto n = 1 + own() % (sizes[i] - at);
            write(x, i, at, uint32_t(n), base);
            x.written(i, at, uint32_t(n), [&](body frame) {
              std::lock_guard guard{mutex};
              frames.push_back(std::move(frame));
            });
            at += uint32_t(n);
          }
        });
    }
    EXPECT_EQ(check(frames), base);
    uint64_t next = first;
    for (auto& frame : frames) {
      auto view = read_answers(frame.bytes(), row_bytes);
      EXPECT_EQ(view->section(0).first, next) << "in order";
      next += view->rows().size() / row_bytes;
    }
  }
}
