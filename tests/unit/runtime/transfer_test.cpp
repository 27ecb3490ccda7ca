/// Both halves of a transfer, each end that it can have.

#include "runtime/transfer/transfer_source.hpp"
#include "runtime/transfer/transfer_target.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using verdict = transfer_target::verdict;
using list = std::vector<uint32_t>;

constexpr transfer_key key{7, 1};
constexpr transfer_key older{7, 0};
constexpr clock::instant start{};

transfer_limits limits_of(uint32_t window, uint64_t rate = 0) {
  transfer_limits out;
  out.window = window;
  out.bytes_per_second = rate;
  out.max_tries = 2;
  return out;
}

transfer_source make_source(uint32_t num_chunks, transfer_limits limits) {
  return {key, num_chunks, 1000, limits, start};
}

transfer_target make_target(uint32_t num_chunks,
                            transfer_writer writer = transfer_writer::target) {
  return {key, num_chunks, writer, limits_of(4), start};
}

/// The chunks of all that may be sent at once.
list next_of(transfer_source& x, clock::instant now = start) {
  list out;
  while (auto piece = x.next(now))
    out.push_back(piece->chunk);
  return out;
}

using pieces = std::vector<transfer_piece>;

/// The same, all of which is read at once.
pieces pieces_of(transfer_source& x, clock::instant now = start) {
  pieces out;
  while (auto piece = x.next(now)) {
    x.sent(piece->chunk);
    out.push_back(*piece);
  }
  return out;
}

TEST(TransferSource, SendsWhatIsReadyAndGrantedInItsOrder) {
  auto x = make_source(5, limits_of(9));
  EXPECT_EQ(next_of(x), list{});
  x.make_ready(3, start);
  EXPECT_EQ(next_of(x), list{});
  x.grant(key, 2, start);
  EXPECT_EQ(next_of(x), (list{0, 1}));
  x.grant(older, 5, start); // of who is not meant
  EXPECT_EQ(next_of(x), list{});
  x.grant(key, 5, start);
  x.make_ready(5, start);
  EXPECT_EQ(next_of(x), (list{2, 3, 4}));
  EXPECT_EQ(x.num_read(), 5u);
  for (uint32_t i = 0; i < 5; ++i) {
    x.sent(i);
    EXPECT_EQ(x.end(), transfer_end::none);
    x.landed(key, i, start);
    x.landed(key, i, start); // said twice
  }
  EXPECT_EQ(x.end(), transfer_end::completed);
  EXPECT_EQ(x.num_read(), 0u);
}

TEST(TransferSource, HasNoMoreOnTheirWayThanItsWindow) {
  auto x = make_source(6, limits_of(2));
  x.make_ready(6, start);
  x.grant(key, 6, start);
  EXPECT_EQ(next_of(x), (list{0, 1}));
  x.sent(0);
  EXPECT_EQ(next_of(x), list{}); // sent is not landed
  x.landed(key, 1, start);
  EXPECT_EQ(next_of(x), list{2});
  EXPECT_EQ(x.num_on_their_way(), 2u);
  EXPECT_EQ(x.num_landed(), 1u);
}

TEST(TransferSource, SendsWhatHasGrownBeforeItIsReady) {
  auto x = make_source(3, limits_of(9));
  x.grant(key, 3, start);
  x.grow(0, 300);
  x.grow(1, 300);
  EXPECT_EQ(pieces_of(x), (pieces{{0, 0, 300}, {1, 0, 300}}));
  x.grow(1, 500);
  x.grow(0, 500);
  x.grow(2, 100);
  EXPECT_EQ(pieces_of(x), (pieces{{2, 0, 100}, {0, 300, 200}, {1, 300, 200}}))
    << "who has sent the least";
  EXPECT_EQ(x.num_on_their_way(), 0u);
  x.grow(1, 999);
  x.make_ready(1, start);
  EXPECT_EQ(pieces_of(x), (pieces{{0, 500, 500}, {1, 500, 499}}))
    << "the rest of what is ready first";
  EXPECT_EQ(x.num_on_their_way(), 1u);
  x.make_ready(3, start);
  EXPECT_EQ(pieces_of(x), (pieces{{1, 999, 1}, {2, 100, 900}}));
  for (uint32_t i = 0; i < 3; ++i)
    x.landed(key, i, start);
  EXPECT_EQ(x.end(), transfer_end::completed);
}

TEST(TransferSource, ReadsOnePieceOfAChunkAtATime) {
  auto x = make_source(1, limits_of(9));
  x.grant(key, 1, start);
  x.grow(0, 300);
  EXPECT_EQ(next_of(x), list{0});
  EXPECT_TRUE(x.is_read(0));
  x.grow(0, 600);
  EXPECT_EQ(next_of(x), list{});
  x.make_ready(1, start);
  EXPECT_EQ(next_of(x), list{});
  x.sent(0);
  EXPECT_FALSE(x.is_read(0));
  EXPECT_EQ(pieces_of(x), (pieces{{0, 300, 700}}));
}

TEST(TransferSource, SendsNothingOfWhatIsWithdrawn) {
  auto x = make_source(2, limits_of(9));
  x.grant(key, 2, start);
  x.grow(0, 300);
  x.withdraw(0);
  EXPECT_EQ(pieces_of(x), pieces{});
  x.grow(0, 300);
  EXPECT_EQ(pieces_of(x), (pieces{{0, 0, 300}}));
  x.withdraw(0);
  x.grow(0, 200); // computed again, as far as it has left
  EXPECT_EQ(pieces_of(x), pieces{});
  x.grow(0, 400);
  EXPECT_EQ(pieces_of(x), (pieces{{0, 300, 100}}));
  x.grow(1, 500);
  x.finish(transfer_end::cancelled);
  EXPECT_EQ(pieces_of(x), pieces{});
}

TEST(TransferSource, BytesOfChunksThatAreNotReadyAreLimited) {
  auto limits = limits_of(1);
  limits.early_bytes = 700;
  auto x = make_source(3, limits);
  x.grant(key, 3, start);
  for (uint32_t i = 0; i < 3; ++i)
    x.grow(i, 600);
  EXPECT_EQ(pieces_of(x), (pieces{{0, 0, 600}, {1, 0, 100}}));
  x.make_ready(2, start);
  EXPECT_EQ(pieces_of(x), (pieces{{0, 600, 400}})) << "of one chunk's bytes";
  x.landed(key, 0, start);
  EXPECT_EQ(pieces_of(x), (pieces{{1, 100, 900}, {2, 0, 600}}));
}

TEST(TransferSource, IsOwedNoWordOfWhatIsNotReady) {
  auto x = make_source(1, limits_of(9));
  x.grant(key, 1, start);
  x.grow(0, 300);
  EXPECT_EQ(next_of(x), list{0});
  x.check_lease(start + 1h);
  EXPECT_EQ(x.end(), transfer_end::none);
}

TEST(TransferSource, KeepsToItsRate) {
  auto x = make_source(3, limits_of(9, 2000)); // half a second each
  EXPECT_FALSE(x.wakes_at());
  x.make_ready(3, start);
  x.grant(key, 3, start);
  EXPECT_EQ(next_of(x, start + 1s), list{0});
  EXPECT_EQ(x.wakes_at(), start + 1500ms);
  EXPECT_EQ(next_of(x, start + 1499ms), list{});
  EXPECT_EQ(next_of(x, start + 1500ms), list{1});
  EXPECT_EQ(next_of(x, start + 9s), list{2}); // what was missed is not made up
  EXPECT_FALSE(x.wakes_at());
}

TEST(TransferSource, SendsAgainWhatCameDamagedButNotForEver) {
  auto x = make_source(2, limits_of(9));
  x.make_ready(2, start);
  x.grant(key, 2, start);
  EXPECT_EQ(next_of(x), (list{0, 1}));
  x.damaged(key, 0, start);
  EXPECT_EQ(next_of(x), list{}); // it is still read
  x.sent(0);
  EXPECT_EQ(next_of(x), list{0});
  x.sent(0);
  x.damaged(key, 0, start);
  EXPECT_EQ(x.end(), transfer_end::failed);
  EXPECT_EQ(next_of(x), list{});
  EXPECT_EQ(x.num_read(), 1u); // of chunk 1, which is on its way
  x.sent(1);
  EXPECT_EQ(x.num_read(), 0u);
}

TEST(TransferSource, WaitsForAWordThatIsOwedAndForNoOther) {
  auto x = make_source(2, limits_of(9));
  x.grant(key, 2, start);
  x.check_lease(start + 1h); // it computes, and nothing is owed
  EXPECT_EQ(x.end(), transfer_end::none);
  x.make_ready(1, start + 1h);
  EXPECT_EQ(next_of(x, start + 1h), list{0});
  x.sent(0);
  x.check_lease(start + 1h + 9s);
  EXPECT_EQ(x.end(), transfer_end::none);
  x.landed(key, 0, start + 1h + 9s);
  x.check_lease(start + 2h);
  EXPECT_EQ(x.end(), transfer_end::none);
  x.make_ready(2, start + 2h);
  EXPECT_EQ(next_of(x, start + 2h), list{1});
  x.check_lease(start + 2h + 10s);
  EXPECT_EQ(x.end(), transfer_end::expired);
  x.landed(key, 1, start + 2h + 10s); // too late
  EXPECT_EQ(x.end(), transfer_end::expired);
}

TEST(TransferSource, IsOwedAGrant) {
  auto x = make_source(2, limits_of(9));
  x.make_ready(2, start + 5s);
  x.check_lease(start + 14s);
  EXPECT_EQ(x.end(), transfer_end::none);
  x.check_lease(start + 15s);
  EXPECT_EQ(x.end(), transfer_end::expired);
}

TEST(TransferTarget, IsCompleteOnceAllHasLanded) {
  auto x = make_target(3);
  EXPECT_EQ(x.arrived(key, 0, true, start), verdict::foreign); // not granted
  EXPECT_EQ(x.reserve(2), 2u);
  EXPECT_EQ(x.arrived(older, 0, true, start), verdict::foreign);
  EXPECT_EQ(x.arrived(key, 1, true, start), verdict::write);
  EXPECT_EQ(x.arrived(key, 1, true, start), verdict::known);
  x.landed(1, start);
  EXPECT_EQ(x.reserve(1), 3u);
  for (uint32_t i : {0, 2}) {
    EXPECT_EQ(x.arrived(key, i, true, start), verdict::write);
    EXPECT_EQ(x.end(), transfer_end::none);
    x.landed(i, start);
  }
  EXPECT_EQ(x.end(), transfer_end::completed);
  EXPECT_EQ(x.count().landed, 3u);
  EXPECT_EQ(x.take_free(start + 1h), list{}); // they are the owner's
}

TEST(TransferTarget, AsksAgainForWhatIsDamagedButNotForEver) {
  auto x = make_target(1);
  x.reserve(1);
  EXPECT_EQ(x.arrived(key, 0, false, start), verdict::damaged);
  EXPECT_EQ(x.end(), transfer_end::none);
  EXPECT_EQ(x.arrived(key, 0, false, start), verdict::damaged);
  EXPECT_EQ(x.end(), transfer_end::failed);
  EXPECT_EQ(x.take_free(start), list{0});
}

/// Cancelled before anything was granted, and behind it; the source lost.
TEST(TransferTarget, GivesBackWhatItAloneWritesOnceItHas) {
  for (auto how : {transfer_end::cancelled, transfer_end::source_gone}) {
    auto x = make_target(4);
    x.reserve(3);
    EXPECT_EQ(x.arrived(key, 0, true, start), verdict::write);
    x.landed(0, start);
    EXPECT_EQ(x.arrived(key, 1, true, start), verdict::write);
    x.finish(how, start);
    x.finish(transfer_end::expired, start); // the first counts
    EXPECT_EQ(x.end(), how);
    EXPECT_EQ(x.arrived(key, 2, true, start), verdict::over);
    EXPECT_EQ(x.take_free(start), list{2}); // chunk 3 never had any
    EXPECT_EQ(x.count().written, 1u);
    x.landed(1, start);
    EXPECT_EQ(x.take_free(start), list{1});
    EXPECT_EQ(x.take_free(start + 1h), list{}); // each is told once
    EXPECT_EQ(x.count().landed, 1u);
    EXPECT_EQ(x.count().all(), 3u);
  }
  auto x = make_target(4);
  x.finish(transfer_end::cancelled, start);
  EXPECT_EQ(x.take_free(start + 1h), list{});
}

TEST(TransferTarget, KeepsInQuarantineWhatTheSourceMayStillWrite) {
  auto x = make_target(3, transfer_writer::source);
  x.reserve(3);
  EXPECT_EQ(x.arrived(key, 0, true, start), verdict::write);
  x.landed(0, start);
  EXPECT_EQ(x.arrived(key, 1, true, start), verdict::write);
  x.finish(transfer_end::cancelled, start);
  EXPECT_EQ(x.take_free(start), list{});
  EXPECT_EQ(x.count().quarantined, 1u);
  x.landed(1, start);
  EXPECT_EQ(x.count().quarantined, 2u);
  x.fence(older);
  EXPECT_EQ(x.take_free(start), list{});
  x.fence(key);
  EXPECT_EQ(x.take_free(start), (list{1, 2}));
}

TEST(TransferTarget, EndsAQuarantineByTimeIfNobodyCanSayMore) {
  auto x = make_target(2, transfer_writer::source);
  x.reserve(2);
  x.finish(transfer_end::source_gone, start);
  EXPECT_EQ(x.take_free(start + 30s - 1ns), list{});
  EXPECT_EQ(x.take_free(start + 30s), (list{0, 1}));
}

TEST(TransferTarget, NeedsNoQuarantineBehindAFence) {
  auto x = make_target(2, transfer_writer::source);
  x.reserve(2);
  x.fence(key);
  x.finish(transfer_end::source_gone, start);
  EXPECT_EQ(x.take_free(start), (list{0, 1}));
}

TEST(TransferTarget, ExpiresIfNothingIsHeard) {
  auto x = make_target(2);
  x.reserve(1);
  x.renew(key, start + 8s); // its source computes
  x.renew(older, start + 17s);
  x.check_lease(start + 17s);
  EXPECT_EQ(x.end(), transfer_end::none);
  x.check_lease(start + 18s);
  EXPECT_EQ(x.end(), transfer_end::expired);
  EXPECT_EQ(x.take_free(start + 18s), list{0});
}

} // namespace
