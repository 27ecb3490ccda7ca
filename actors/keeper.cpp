// Keeps sealed blocks of its node's ranks on a disk and finds them again. Where
// blocks stand is the store's decision, whether to fetch them fetch_choice's;
// this carries it out, on threads of its own, so that nobody ever waits for a
// disk.
//
//   rank --keep_blocks--> copy out --block_copied--> write --block_written-->
//   rank --fetch_chain--> read --block_read--> block_fetched --> rank
//        --land_block--> copy in --> block_landed
//
// What does not fit into the host memory that was claimed waits: on its way to
// the disk in the rank's cache, of which it may hold an eighth; what comes
// beyond that is dropped, and with it what stands on it.

#include "actors/cast.hpp"
#include "runtime/kv_store/fetch_choice.hpp"
#include "runtime/kv_store/kv_health.hpp"
#include "runtime/kv_store/kv_io.hpp"

#include <deque>

namespace troupe {

namespace {

/// Reads that may wait for host memory.
constexpr size_t max_waiting = 4096;

/// On which files are read and written.
constexpr uint32_t num_threads = 2;

/// Of a rank's cache, what may wait for host memory on its way to the disk.
constexpr uint32_t share_that_waits = 8;

double seconds(clock::instant::duration x) {
  return std::chrono::duration<double>(x).count();
}

struct keeper_state {
  static constexpr const char* name = "keeper";

  /// A block that a rank waits for.
  struct wanted_block {
    rank_id rank = 0;
    uint64_t fetch = 0;
    uint32_t index = 0;
    std::shared_ptr<const std::vector<kv_block>> chain;
    std::shared_ptr<const std::atomic<bool>> is_wanted;

    const kv_block& what() const {
      return (*chain)[index];
    }
  };

  /// One that is being read.
  struct reading {
    wanted_block of;
    kv_ticket ticket;
    clock::instant since;
  };

  /// A block of a rank that is to be kept.
  struct leaving_block {
    rank_id rank = 0;
    known_block of;
  };

  node_context context;
  std::shared_ptr<node_parts> parts;
  keeper self;
  std::function<clock::instant()> now;
  std::shared_ptr<kv_io> io;
  std::shared_ptr<kv_store> store; ///< Null until it is open.
  kv_health health;
  std::unique_ptr<fetch_choice> choice;
  /// Of the store's threads, which may outlive this.
  std::shared_ptr<const clock> time = std::make_shared<system_clock>();

  std::deque<wanted_block> waiting; ///< For host memory.
  /// Likewise, or for the store to be opened.
  std::deque<leaving_block> to_copy;
  std::map<rank_id, uint32_t> num_to_copy;
  bool is_shut = false; ///< The store cannot be opened, or not so far.
  clock::instant opens_since = {};
  std::map<uint64_t, reading> reads;
  std::map<uint64_t, clock::instant> writes; ///< By serial: since when.
  clock::instant heard_read = {};            ///< The last answer of the disk.
  clock::instant heard_written = {};
  uint64_t last_read = 0;
  gauge blocks;
  gauge is_off;

  ~keeper_state() {
    if (parts) {
      parts->keeper->reading->set_on_free({});
      parts->keeper->writing->set_on_free({});
    }
    blocks.set(0);
  }

  // -- the store --------------------------------------------------------------

  void open() {
    opens_since = now();
    auto job = [to = weak_handle{self}, files = parts->keeper->files] {
      auto made = kv_store::open(files);
      if (made)
        to.tell(store_opened{std::shared_ptr{std::move(*made)}, ""});
      else
        to.tell(store_opened{nullptr, made.why().message});
    };
    io->read(std::move(job));
  }

  void take(const store_opened& msg) {
    if (!msg.store) {
      is_off.set(1);
      is_shut = true;
      context.log->warning("the KV cache on disk is off: " + msg.failure);
      return pump_copies();
    }
    store = msg.store;
    if (std::exchange(is_shut, false)) // it has taken its time
      is_off.set(0);
    context.log->info("the KV cache on disk, " + store->path().string()
                      + ", has " + std::to_string(store->index().num_blocks())
                      + " blocks");
    context.counters->add(counter::store_damaged, store->num_damaged());
    tell_blocks();
    pump_copies();
  }

  void tell_blocks() {
    blocks.set(store->index().num_blocks());
  }

  /// What health has said.
  void hear(const std::string& sentence) {
    if (sentence.empty())
      return;
    context.log->warning(sentence);
    is_off.set(1);
    pump_copies(); // nobody holds what is not kept
    if (health.may_read())
      return;
    // Nobody waits for what may never come.
    for (auto& [serial, x] : std::exchange(reads, {}))
      lose(x.of);
    for (auto& x : std::exchange(waiting, {}))
      lose(x);
  }

  rank_parts* rank(rank_id id) const {
    auto i = std::ranges::find(parts->ranks, id, [](auto& x) { return x->id; });
    CHECK(i != parts->ranks.end());
    return i->get();
  }

  template <class Message>
  void tell_rank(rank_id id, const Message& message) const {
    auto list = context.here->read();
    if (auto i = list->schedulers.find(id); i != list->schedulers.end())
      tell(i->second, message);
  }

  // -- to the disk ------------------------------------------------------------

  void keep(const keep_blocks& msg) {
    auto& waits = num_to_copy[msg.rank];
    auto most = std::max(rank(msg.rank)->pool->num_blocks() / share_that_waits,
                         1u);
    blocks_let_go unread;
    for (auto& x : msg.blocks)
      if (waits < most) {
        to_copy.push_back({msg.rank, x});
        ++waits;
        pump_copies();
      } else {
        context.counters->add(counter::store_dropped);
        unread.blocks.push_back(x.block);
      }
    if (!unread.blocks.empty())
      tell_rank(msg.rank, unread);
  }

  /// Begins to copy what there is host memory for, in order: what a block
  /// stands on is here before it.
  void pump_copies() {
    std::map<rank_id, blocks_let_go> unread;
    while (!to_copy.empty() && (store || is_shut)) {
      auto& [from, x] = to_copy.front();
      auto is_wanted = store && health.may_write() && is_of_use(x.what);
      auto bytes = is_wanted ? parts->keeper->writing->take() : nullptr;
      if (is_wanted && !bytes)
        break;
      if (!is_wanted || !begin_copy(from, x, std::move(bytes)))
        unread[from].blocks.push_back(x.block);
      --num_to_copy[from];
      to_copy.pop_front();
    }
    for (auto& [id, msg] : unread)
      tell_rank(id, msg);
  }

  /// Whether the block is being copied.
  bool begin_copy(rank_id id, const known_block& x, kernels::host_ptr bytes) {
    auto ticket = store->begin_write(x.what);
    if (!ticket)
      return false;
    writes[ticket->serial] = now();
    auto* from = rank(id);
    from->transfers->enqueue(
      kernels::copy_out{from->pool->block(x.block), bytes->data(), bytes});
    from->transfers->notify([to = weak_handle{self}, id, block = x.block,
                             ticket = *ticket, bytes](auto& status) {
      to.tell(block_copied{id, block, ticket, bytes, bool(status)});
    });
    return true;
  }

  /// Nobody finds a block without the one before it.
  bool is_of_use(const kv_block& x) const {
    return x.depth == 0 || store->index().has(x.before);
  }

  void write(const block_copied& msg) {
    tell_rank(msg.rank, blocks_let_go{{msg.block}});
    auto job = [to = weak_handle{self}, files = store->files(),
                ticket = msg.ticket, bytes = msg.bytes] {
      auto ok = files->write(ticket.slot, ticket.what, ticket.serial,
                             {bytes->data(), bytes->size()});
      to.tell(ok ? block_written{ticket, ""}
                 : block_written{ticket, ok.why().message,
                                 ok.why().code == errc::overloaded});
    };
    if (!msg.ok || !health.may_write() || !io->write(std::move(job)))
      end_write(msg.ticket, false);
  }

  /// What is being written meanwhile is not found either.
  void drop(const drop_blocks& msg) {
    for (auto& key : msg.keys) {
      take_back(key);
      if (auto ticket = store ? store->drop(key) : std::nullopt)
        erase(*ticket);
    }
    if (store)
      tell_blocks();
  }

  /// What waits to be copied.
  void take_back(const kv_key& key) {
    std::erase_if(to_copy, [&](auto& x) {
      auto is_it = x.of.what.key == key;
      if (is_it) {
        --num_to_copy[x.rank];
        tell_rank(x.rank, blocks_let_go{{x.of.block}});
      }
      return is_it;
    });
  }

  /// The next process is not to find it either.
  void erase(const kv_ticket& x) const {
    io->write(
      [files = store->files(), x] { files->erase(x.slot, x.what.key); });
  }

  void end_write(const kv_ticket& ticket, bool ok) {
    writes.erase(ticket.serial);
    store->end_write(ticket, ok);
    if (ok && !store->index().has(ticket.what.key))
      erase(ticket); // it was dropped
    tell_blocks();
  }

  void take(const block_written& msg) {
    heard_written = now();
    end_write(msg.ticket, msg.failure.empty());
    if (msg.failure.empty())
      return context.counters->add(counter::store_bytes_written,
                                   parts->keeper->files.block_bytes);
    context.counters->add(counter::store_errors);
    if (msg.passes)
      context.log->warning(msg.failure + "; it is not kept");
    else
      hear(health.write_failed(msg.failure));
  }

  // -- from the disk ----------------------------------------------------------

  void fetch(const fetch_chain& msg) {
    if (store) // what it stands on is of use
      store->touch(msg.chain->front().before);
    auto count = num_to_fetch(msg);
    tell_rank(msg.rank, chain_found{msg.fetch, count});
    for (uint32_t i = 0; i < count; ++i)
      waiting.push_back({msg.rank, msg.fetch, i, msg.chain, msg.is_wanted});
    if (count > 0)
      store->touch((*msg.chain)[count - 1].key);
    pump();
  }

  uint32_t num_to_fetch(const fetch_chain& msg) {
    auto& chain = *msg.chain;
    auto all = store && health.may_read() ? store->index().num_found(chain) : 0;
    context.counters->add(counter::store_misses, chain.size() - all);
    auto before = waiting.size() + reads.size();
    // Of the chain's later blocks each takes at least as long as the others.
    auto to_compute = msg.seconds * all / double(chain.size());
    if (all == 0 || before + all > max_waiting)
      return 0;
    if (choice->is_worth_it(all, before, to_compute))
      return all;
    context.counters->add(counter::store_declined, all);
    return 0;
  }

  /// Begins what there is host memory for.
  void pump() {
    while (!waiting.empty()) {
      if (!*waiting.front().is_wanted) {
        lose(waiting.front());
        waiting.pop_front();
        continue;
      }
      auto bytes = parts->keeper->reading->take();
      if (!bytes)
        return;
      auto next = std::move(waiting.front());
      waiting.pop_front();
      begin_read(std::move(next), std::move(bytes));
    }
  }

  void begin_read(wanted_block x, kernels::host_ptr bytes) {
    auto ticket = store->begin_read(x.what());
    if (!ticket)
      return lose(x); // another read has found it damaged
    auto serial = ++last_read;
    auto job = [to = weak_handle{self}, files = store->files(),
                ticket = *ticket, bytes, serial, time = time] {
      auto begin = time->now();
      auto how = files->read(ticket.slot, ticket.what,
                             {bytes->data(), bytes->size()});
      to.tell(block_read{serial, how, seconds(time->now() - begin), bytes});
    };
    reads[serial] = {std::move(x), *ticket, now()};
    if (!io->read(std::move(job)))
      take(block_read{serial, kv_outcome::failed, 0, nullptr});
  }

  void take(const block_read& msg) {
    auto i = reads.find(msg.serial);
    if (i == reads.end())
      return; // given up
    auto x = std::move(i->second);
    reads.erase(i);
    heard_read = now();
    store->end_read(x.ticket, msg.how);
    tell_blocks();
    if (msg.how == kv_outcome::damaged)
      erase(x.ticket); // or it is found again after a restart
    if (msg.how != kv_outcome::whole) {
      lose(x.of);
      note(msg.how);
      return;
    }
    choice->add(msg.seconds);
    context.counters->add(counter::store_hits);
    context.counters->add(counter::store_bytes_read, msg.bytes->size());
    tell_rank(x.of.rank, block_fetched{x.of.fetch, x.of.index, msg.bytes});
  }

  void note(kv_outcome how) {
    if (how == kv_outcome::damaged) {
      context.counters->add(counter::store_damaged);
      hear(health.found_damaged(now()));
    } else {
      context.counters->add(counter::store_errors);
      if (how == kv_outcome::failed)
        hear(health.read_failed());
    }
  }

  void lose(const wanted_block& x) const {
    tell_rank(x.rank, block_fetched{x.fetch, x.index, nullptr});
  }

  void land(const land_block& msg) const {
    auto* to = rank(msg.rank);
    to->transfers->enqueue(kernels::copy_in{
      msg.bytes->data(), to->pool->block(msg.block), msg.bytes});
    auto list = context.here->read();
    auto i = list->schedulers.find(msg.rank);
    if (i == list->schedulers.end())
      return;
    to->transfers->notify([scheduler = weak_handle{i->second}, msg](auto& ok) {
      scheduler.tell(block_landed{msg.fetch, msg.index, bool(ok)});
    });
  }

  // -- time -------------------------------------------------------------------

  void check_deadlines() {
    if (!store && !is_shut)
      check_opening();
    // What stands behind others is not slow while these are answered.
    if (!reads.empty())
      hear(health.reads_wait(std::max(heard_read, reads.begin()->second.since),
                             now()));
    if (!writes.empty())
      hear(health.writes_wait(std::max(heard_written, writes.begin()->second),
                              now()));
  }

  /// Nobody holds blocks for a disk that does not say what it has.
  void check_opening() {
    if (now() - opens_since <= kv_health::patience)
      return;
    is_shut = true;
    is_off.set(1);
    context.log->warning("the KV cache on disk is off until it is open, which "
                         "takes more than "
                         + std::to_string(kv_health::patience.count()) + " s");
    pump_copies();
  }
};

keeper::behavior_type behavior(keeper::stateful_pointer<keeper_state> self,
                               const node_context& context,
                               std::shared_ptr<node_parts> parts,
                               std::shared_ptr<kv_io> io) {
  auto& state = self->state;
  state.context = context;
  state.parts = std::move(parts);
  state.self = self;
  state.now = [self] { return self->clock().now(); };
  state.io = io ? std::move(io) : std::make_shared<kv_io>(num_threads);
  state.choice
    = std::make_unique<fetch_choice>(std::max(state.io->num_threads(), 1u));
  state.blocks = {context.counters, counter::store_blocks};
  state.is_off = {context.counters, counter::store_off};
  auto on_free = [to = weak_handle{state.self}] { to.tell(buffer_freed{}); };
  state.parts->keeper->reading->set_on_free(on_free);
  state.parts->keeper->writing->set_on_free(on_free);
  state.open();
  return {
    [=](const keep_blocks& msg) { self->state.keep(msg); },
    [=](const drop_blocks& msg) { self->state.drop(msg); },
    [=](const block_copied& msg) { self->state.write(msg); },
    [=](const block_written& msg) { self->state.take(msg); },
    [=](const fetch_chain& msg) { self->state.fetch(msg); },
    [=](const block_read& msg) { self->state.take(msg); },
    [=](const land_block& msg) { self->state.land(msg); },
    [=](const store_opened& msg) { self->state.take(msg); },
    [=](buffer_freed) {
      self->state.pump_copies();
      self->state.pump();
    },
    [=](tick) { self->state.check_deadlines(); },
  };
}

} // namespace

keeper spawn_keeper(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<node_parts> parts,
                    std::shared_ptr<kv_io> io) {
  return system.spawn(behavior, context, std::move(parts), std::move(io));
}

} // namespace troupe
