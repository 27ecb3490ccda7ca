/// Many transfers at once into one memory, with every accident: nothing is ever
/// written where somebody else is, and all memory comes back.

#include "runtime/transfer/transfer_source.hpp"
#include "runtime/transfer/transfer_target.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr uint32_t num_slots = 16;
constexpr uint64_t chunk_bytes = 1000;

/// A chunk on its way to the slot that it was granted. Of a source that writes
/// by itself it gets there whatever happens, until its way is closed.
struct flight {
  uint64_t of = 0;
  uint32_t chunk = 0;
  uint32_t slot = 0;
  bool writes_itself = false;
  bool is_intact = true;
};

struct transfer {
  std::unique_ptr<transfer_source> from; ///< Null: its process is gone.
  std::unique_ptr<transfer_target> to;
  std::vector<uint32_t> slots; ///< Of the chunks that have memory.
  transfer_writer writer = transfer_writer::target;
  uint32_t num_chunks = 0;
  uint32_t ready = 0;
  std::vector<uint64_t> grown;         ///< Bytes of each that may leave.
  std::vector<uint64_t> left;          ///< That have.
  std::optional<clock::instant> ended; ///< As it was seen.
};

class world {
public:
  explicit world(uint32_t seed) : random_(seed) {
    limits_.window = 1 + draw(4);
    limits_.bytes_per_second = draw(2) * 100'000;
    limits_.max_tries = 2;
    limits_.early_bytes = 500 + draw(3000);
    limits_.lease = 2s;
    limits_.quarantine = 3s;
    for (uint32_t i = 0; i < num_slots; ++i)
      free_.push_back(i);
  }

  void step() {
    now_ += std::chrono::milliseconds{draw(40)};
    switch (draw(10)) {
      case 0:
        return begin();
      case 1:
        return compute();
      case 2:
        return reserve();
      case 3:
      case 4:
        return send();
      case 5:
      case 6:
        return arrive();
      case 7:
      case 8:
        return land();
      default:
        return accident();
    }
  }

  /// Whatever is open comes to an end, and time passes.
  void settle() {
    while (!flights_.empty())
      arrive();
    while (!copies_.empty())
      land();
    for (auto& [id, x] : open_)
      x.to->finish(transfer_end::cancelled, now_);
    now_ += 10s;
    look();
  }

  void look() {
    for (auto i = open_.begin(); i != open_.end();) {
      auto& [id, x] = *i;
      if (x.from)
        x.from->check_lease(now_);
      x.to->check_lease(now_);
      if (x.to->end() != transfer_end::none && !x.ended)
        x.ended = now_;
      auto count = x.to->count();
      EXPECT_EQ(count.all(), x.slots.size());
      for (auto chunk : x.to->take_free(now_))
        give_back(id, x.slots[chunk]);
      i = is_over(x) ? close(i) : std::next(i);
    }
    size_t in_use = 0;
    for (auto& [slot, owner] : owner_)
      in_use += owner != 0;
    EXPECT_EQ(in_use + free_.size(), num_slots);
  }

  size_t num_open() const {
    return open_.size();
  }

  size_t num_free() const {
    return free_.size();
  }

  uint32_t num_completed = 0;
  uint32_t num_quarantined = 0;
  uint32_t num_late = 0;
  uint32_t num_early = 0;

private:
  uint32_t draw(uint32_t below) {
    return uint32_t(random_() % below);
  }

  transfer* any() {
    if (open_.empty())
      return nullptr;
    auto i = open_.begin();
    std::advance(i, draw(uint32_t(open_.size())));
    return &i->second;
  }

  static bool is_over(const transfer& x) {
    auto c = x.to->count();
    return x.to->end() != transfer_end::none
           && c.reserved + c.written + c.quarantined == 0;
  }

  void begin() {
    if (open_.size() >= 4)
      return;
    transfer x;
    x.num_chunks = 1 + draw(6);
    x.writer = draw(2) ? transfer_writer::source : transfer_writer::target;
    transfer_key key{++last_, draw(3)};
    x.grown.resize(x.num_chunks);
    x.left.resize(x.num_chunks);
    x.from = std::make_unique<transfer_source>(key, x.num_chunks, chunk_bytes,
                                               limits_, now_);
    x.to = std::make_unique<transfer_target>(key, x.num_chunks, x.writer,
                                             limits_, now_);
    open_.emplace(last_, std::move(x));
  }

  void compute() {
    auto x = any();
    if (!x || !x->from)
      return;
    if (draw(2) && x->ready < x->num_chunks)
      return compute_layers(*x);
    x->ready = std::min(x->num_chunks, x->ready + 1 + draw(3));
    std::fill_n(x->grown.begin(), x->ready, chunk_bytes);
    x->from->make_ready(x->ready, now_);
    x->to->renew(x->from->key(), now_);
  }

  /// Of a chunk that is not ready; or its step is given up.
  void compute_layers(transfer& x) {
    auto chunk = x.ready + draw(x.num_chunks - x.ready);
    auto& grown = x.grown[chunk];
    if (draw(4) == 0) {
      x.from->withdraw(chunk);
      grown = 0;
    } else {
      grown = std::max<uint64_t>(grown, 1 + draw(chunk_bytes - 1));
      x.from->grow(chunk, grown);
    }
  }

  void reserve() {
    auto x = any();
    if (!x || x->to->end() != transfer_end::none
        || x->slots.size() == x->num_chunks || free_.empty())
      return;
    auto slot = free_.back();
    free_.pop_back();
    owner_[slot] = x->to->key().transfer;
    x->slots.push_back(slot);
    auto end = x->to->reserve(1);
    if (x->from)
      x->from->grant(x->to->key(), end, now_);
  }

  void send() {
    auto x = any();
    if (!x || !x->from)
      return;
    auto piece = x->from->next(now_);
    if (!piece)
      return;
    auto chunk = piece->chunk;
    ASSERT_LT(chunk, x->slots.size());
    auto& left = x->left[chunk];
    ASSERT_EQ(piece->first, left) << "in the order of its bytes";
    ASSERT_GT(piece->count, 0u);
    left += piece->count;
    ASSERT_LE(left, x->grown[chunk]);
    x->from->sent(chunk);
    auto is_whole = left == chunk_bytes;
    ASSERT_EQ(is_whole, chunk < x->ready) << "the rest leaves in one piece";
    if (is_whole)
      take_off(*x, chunk, piece->count);
    else
      ++num_early;
    look_at_limits(*x);
  }

  /// It arrives with its last piece.
  void take_off(transfer& x, uint32_t chunk, uint64_t rest) {
    rests_[{x.to->key().transfer, chunk}] = rest;
    flights_.push_back({x.to->key().transfer, chunk, x.slots[chunk],
                        x.writer == transfer_writer::source, draw(12) != 0});
  }

  void look_at_limits(const transfer& x) {
    uint64_t early = 0, rests = 0;
    for (auto i = x.ready; i < x.num_chunks; ++i)
      early += x.left[i];
    for (auto& [of, rest] : rests_)
      rests += of.first == x.to->key().transfer ? rest : 0;
    ASSERT_LE(early, limits_.early_bytes);
    ASSERT_LE(rests, limits_.window * chunk_bytes);
  }

  /// Of one source they arrive in their order.
  void arrive() {
    if (flights_.empty())
      return;
    auto i = flights_.begin() + draw(uint32_t(flights_.size()));
    for (auto j = flights_.begin(); j != i; ++j)
      if (j->of == i->of) {
        i = j;
        break;
      }
    auto what = *i;
    flights_.erase(i);
    if (what.writes_itself)
      write(what.of, what.slot);
    auto found = open_.find(what.of);
    if (found == open_.end())
      return void(++num_late); // its target has no memory of it any more
    auto& x = found->second;
    auto key = x.to->key();
    auto said = x.to->arrived(key, what.chunk, what.is_intact, now_);
    if (said == transfer_target::verdict::over)
      ++num_late;
    if (said == transfer_target::verdict::write)
      copies_.push_back(what);
    if (said == transfer_target::verdict::damaged && x.from) {
      x.from->damaged(key, what.chunk, now_);
      x.left[what.chunk] = 0;
      rests_.erase({what.of, what.chunk});
    }
  }

  /// A copy of what has arrived ends, whoever wants it.
  void land() {
    if (copies_.empty())
      return;
    auto i = copies_.begin() + draw(uint32_t(copies_.size()));
    auto what = *i;
    copies_.erase(i);
    write(what.of, what.slot);
    auto& x = open_.at(what.of); // it is not over before
    x.to->landed(what.chunk, now_);
    if (x.from)
      x.from->landed(x.to->key(), what.chunk, now_);
    rests_.erase({what.of, what.chunk});
  }

  void write(uint64_t of, uint32_t slot) {
    EXPECT_EQ(owner_[slot], of) << "slot " << slot << " is another's";
  }

  void accident() {
    auto x = any();
    if (!x)
      return;
    switch (draw(6)) {
      case 0:
        if (x->from)
          x->from->finish(transfer_end::cancelled);
        x->to->finish(transfer_end::cancelled, now_);
        break;
      case 1: // its process ends; what it has sent still comes
        x->from.reset();
        x->to->finish(transfer_end::source_gone, now_);
        break;
      case 2: // all that it has sent has come, or comes no more
        if (x->to->end() == transfer_end::none)
          break;
        std::erase_if(flights_,
                      [&](auto& f) { return f.of == x->to->key().transfer; });
        x->to->fence(x->to->key());
        break;
      case 3:
        now_ += std::chrono::milliseconds{draw(1500)};
        break;
      default:
        break;
    }
    num_quarantined += x->to->count().quarantined;
  }

  void give_back(uint64_t of, uint32_t slot) {
    EXPECT_EQ(owner_[slot], of);
    // A way that nobody closed is believed to be empty after a time.
    if (now_ >= *open_.at(of).ended + limits_.quarantine)
      std::erase_if(flights_,
                    [&](auto& f) { return f.of == of && f.slot == slot; });
    owner_[slot] = 0;
    free_.push_back(slot);
  }

  using place = std::map<uint64_t, transfer>::iterator;

  place close(place i) {
    auto& x = i->second;
    auto is_whole = x.to->end() == transfer_end::completed;
    num_completed += is_whole;
    EXPECT_EQ(is_whole, x.to->count().landed == x.num_chunks);
    for (uint32_t chunk = 0; chunk < x.slots.size(); ++chunk)
      if (owner_[x.slots[chunk]] == i->first) { // what has landed is used up
        owner_[x.slots[chunk]] = 0;
        free_.push_back(x.slots[chunk]);
      }
    return open_.erase(i);
  }

  std::mt19937 random_;
  transfer_limits limits_;
  clock::instant now_{};
  uint64_t last_ = 0;
  std::map<uint64_t, transfer> open_;
  std::vector<flight> flights_;
  std::vector<flight> copies_; ///< That go on.
  /// What left last of chunks on their way, by transfer and chunk.
  std::map<std::pair<uint64_t, uint32_t>, uint64_t> rests_;
  std::vector<uint32_t> free_;
  std::map<uint32_t, uint64_t> owner_; ///< 0: nobody.
};

} // namespace

TEST(TransferProperty, NothingIsWrittenWhereSomebodyElseIs) {
  uint32_t completed = 0, quarantined = 0, late = 0, early = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world x{seed};
    for (int i = 0; i < 1000 && !testing::Test::HasFailure(); ++i) {
      x.step();
      x.look();
    }
    x.settle();
    EXPECT_EQ(x.num_open(), 0u);
    EXPECT_EQ(x.num_free(), num_slots);
    completed += x.num_completed;
    quarantined += x.num_quarantined;
    late += x.num_late;
    early += x.num_early;
    ASSERT_FALSE(testing::Test::HasFailure());
  }
  EXPECT_GT(completed, 1000u);
  EXPECT_GT(quarantined, 100u);
  EXPECT_GT(late, 100u);
  EXPECT_GT(early, 1000u);
}
