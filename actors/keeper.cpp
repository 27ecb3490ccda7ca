// Keeps sealed blocks of its node's ranks in host memory, on a disk or both,
// and finds them again. Where blocks stand is kv_tiers' decision, whether to
// read them from the disk fetch_choice's; this carries it out, on threads of
// its own, so that nobody ever waits for a disk.
//
//   rank --keep_blocks--> copy out --block_copied--> write --block_written-->
//   rank --fetch_chain--> read --block_read--> block_fetched --> rank
//        --land_block--> copy in --> block_landed
//
// What stands in host memory is not read, and is written from there. What waits
// for the disk waits there, too, and goes if its room is wanted meanwhile. What
// has no room there waits in the rank's cache, of which it may hold an eighth;
// what comes beyond that is dropped, and with it what stands on it.

#include "actors/cast.hpp"
#include "actors/disk_jobs.hpp"
#include "actors/keeper_queues.hpp"
#include "actors/rank_caches.hpp"
#include "runtime/kv_store/fetch_choice.hpp"
#include "runtime/kv_store/kv_health.hpp"
#include "runtime/kv_store/kv_tiers.hpp"

#include <deque>

namespace troupe {

namespace {

/// On which files are read and written.
constexpr uint32_t num_threads = 2;

struct keeper_state {
  static constexpr const char* name = "keeper";

  /// One that is being read.
  struct reading {
    wanted_block of;
    kv_ticket ticket;
    std::optional<uint64_t> slot; ///< Of memory, where it is to stay.
    clock::instant since;
  };

  /// One that is being copied out to be written, or written.
  struct writing {
    kv_key key;
    clock::instant since;
    std::shared_ptr<std::atomic<bool>> is_wanted
      = std::make_shared<std::atomic<bool>>(true);
  };

  node_context context;
  std::shared_ptr<node_parts> parts;
  keeper self;
  std::function<clock::instant()> now;
  std::unique_ptr<const disk_jobs> disk;
  std::unique_ptr<rank_caches> ranks;
  kv_tiers tiers;
  kv_health health;
  std::unique_ptr<fetch_choice> choice;

  std::deque<wanted_block> waiting; ///< For host memory.
  write_queue to_write; ///< Likewise, or for the store to be opened.
  /// The store cannot be opened, or not so far, or there is none.
  bool is_shut = false;
  clock::instant opens_since = {};
  std::map<uint64_t, reading> reads;
  std::map<uint64_t, writing> writes; ///< By serial.
  clock::instant heard_read = {};     ///< The last answer of the disk.
  clock::instant heard_written = {};
  uint64_t last_read = 0;
  gauge blocks;
  gauge blocks_in_memory;
  gauge is_off;

  ~keeper_state() {
    if (parts) {
      parts->keeper->reading->set_on_free({});
      parts->keeper->writing->set_on_free({});
    }
    blocks.set(0);
    blocks_in_memory.set(0);
  }

  // -- the store --------------------------------------------------------------

  void open() {
    if (parts->keeper->files.dir.empty()) {
      is_shut = true;
      return;
    }
    opens_since = now();
    disk->open(parts->keeper->files);
  }

  void take(const store_opened& msg) {
    if (!msg.store) {
      is_off.set(1);
      is_shut = true;
      context.log->warning("the KV cache on disk is off: " + msg.failure);
      return pump_writes();
    }
    tiers.store = msg.store;
    if (std::exchange(is_shut, false)) // it has taken its time
      is_off.set(0);
    context.log->info(
      "the KV cache on disk, " + tiers.store->path().string() + ", has "
      + std::to_string(tiers.store->index().num_blocks()) + " blocks");
    context.counters->add(counter::store_damaged, tiers.store->num_damaged());
    tell_blocks();
    pump_writes();
  }

  void tell_blocks() {
    blocks.set(tiers.store ? tiers.store->index().num_blocks() : 0);
    blocks_in_memory.set(tiers.memory ? tiers.memory->index().num_blocks() : 0);
  }

  /// What health has said.
  void hear(const std::string& sentence) {
    if (sentence.empty())
      return;
    context.log->warning(sentence);
    is_off.set(1);
    pump_writes(); // nobody holds what is not kept
    disk->drop_writes();
    if (health.may_read())
      return;
    // Nobody waits for what may never come, and no place is kept for it.
    for (auto& [serial, x] : std::exchange(reads, {})) {
      if (x.slot)
        tiers.memory->abandon(*x.slot);
      lose(x.of);
    }
    disk->drop_reads();
    for (auto& x : std::exchange(waiting, {}))
      lose(x);
  }

  // -- to host memory and the disk --------------------------------------------

  void keep(const keep_blocks& msg) {
    std::vector<kv_key> keys;
    for (auto& x : msg.blocks)
      keys.push_back(x.what.key);
    tiers.touch(keys);
    for (auto& x : msg.blocks) {
      keep(msg.rank, x);
      begin_writes();
    }
    ranks->tell_all();
  }

  /// Memory takes it at once, the disk when it can.
  void keep(rank_id id, const known_block& x) {
    auto place = tiers.begin_keep(x.what);
    if (place)
      ranks->copy_out({id, x.block, place->slot, {}, place->bytes});
    auto is_in_memory = tiers.is_in_memory(x.what.key);
    auto is_held = wait_to_be_written(id, x, is_in_memory) && !is_in_memory;
    if (!place && !is_held)
      ranks->let_go(id, x.block);
  }

  bool wait_to_be_written(rank_id id, const known_block& x, bool is_in_memory) {
    if (is_shut || !health.may_write() || tiers.is_on_disk(x.what.key))
      return false;
    auto waits = is_in_memory ? to_write.add(x.what)
                              : to_write.add(id, x, ranks->most_waiting(id));
    context.counters->add(counter::store_dropped, !waits);
    return waits;
  }

  /// Memory is for who reads from it, not for a slow disk.
  bool is_disk_behind() const {
    return writes.size() >= parts->keeper->max_writes;
  }

  /// In order: what a block stands on is there before it.
  void begin_writes() {
    while (!to_write.empty() && (tiers.store || is_shut)) {
      auto& first = to_write.front();
      auto& what = first.of.what;
      kernels::host_ptr bytes;
      if (health.may_write() && tiers.is_to_be_written(what)) {
        if (is_disk_behind())
          return;
        bytes = first.rank ? parts->keeper->writing->take() : from_memory(what);
        if (!bytes && (first.rank || tiers.is_coming_to_memory(what.key)))
          return; // there is no room on the way, or it is not there yet
        context.counters->add(counter::store_dropped, !bytes);
      }
      begin_write(to_write.pop(), bytes);
    }
  }

  /// Null: it is not written.
  void begin_write(const write_queue::entry& x,
                   const kernels::host_ptr& bytes) {
    auto ticket = bytes ? tiers.store->begin_write(x.of.what) : std::nullopt;
    if (ticket)
      writes[ticket->serial] = {ticket->what.key, now()};
    if (ticket && x.rank)
      ranks->copy_out({*x.rank, x.of.block, {}, ticket, bytes});
    else if (ticket)
      write(*ticket, bytes);
    else if (x.rank)
      ranks->let_go(*x.rank, x.of.block);
  }

  void pump_writes() {
    begin_writes();
    ranks->tell_all();
  }

  void take(const block_copied& msg) {
    ranks->tell_rank(msg.rank, blocks_let_go{{msg.block}});
    if (msg.slot) {
      tiers.memory->end_write(*msg.slot, msg.ok);
      tell_blocks();
      pump_writes();
    }
    if (msg.ticket)
      write(*msg.ticket, msg.ok ? msg.bytes : nullptr);
  }

  void write(const kv_ticket& ticket, const kernels::host_ptr& bytes) {
    auto is_wanted = writes.at(ticket.serial).is_wanted;
    if (!bytes || !*is_wanted || !health.may_write()
        || !disk->write(tiers.store->files(), ticket, bytes, is_wanted))
      end_write(ticket, false);
  }

  /// Null if it is not there. It goes from there for nobody while its bytes are
  /// held.
  kernels::host_ptr from_memory(const kv_block& x) const {
    auto place = tiers.memory ? tiers.memory->begin_read(x) : std::nullopt;
    if (!place)
      return nullptr;
    auto* raw = place->bytes.get();
    return {raw, [to = weak_handle{self}, slot = place->slot,
                  bytes = place->bytes](auto*) { to.tell(memory_read{slot}); }};
  }

  void take(const memory_read& msg) {
    tiers.memory->end_read(msg.slot);
  }

  /// What waits, or is being written meanwhile, is not found either.
  void drop(const drop_blocks& msg) {
    auto keys = tiers.with_what_stands_on(msg.keys);
    for (auto& x : to_write.take(keys))
      if (x.rank)
        ranks->let_go(*x.rank, x.of.block);
    for (auto& [serial, x] : writes)
      if (keys.contains(x.key))
        *x.is_wanted = false;
    for (auto& key : keys)
      if (auto ticket = tiers.drop(key))
        disk->erase(tiers.store->files(), *ticket);
    ranks->tell_all();
    tell_blocks();
  }

  void end_write(const kv_ticket& ticket, bool ok) {
    writes.erase(ticket.serial);
    if (!tiers.store->end_write(ticket, ok) && ok)
      disk->erase(tiers.store->files(), ticket); // it was dropped
    tell_blocks();
    pump_writes();
  }

  void take(const block_written& msg) {
    if (msg.is_dropped)
      return end_write(msg.ticket, false);
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

  // -- from there -------------------------------------------------------------

  void fetch(const fetch_chain& msg) {
    auto count = num_to_fetch(msg);
    touch({msg.chain->begin(), count}, msg.chain->front().before);
    ranks->tell_rank(msg.rank, chain_found{msg.fetch, count});
    for (uint32_t i = 0; i < count; ++i) {
      wanted_block x{msg.rank, msg.fetch, i, msg.chain, msg.is_wanted};
      if (!is_given(x))
        waiting.push_back(std::move(x));
    }
    pump();
  }

  /// Also what the chain stands on, whoever has it.
  void touch(std::span<const kv_block> chain, const kv_key& before) const {
    std::vector<kv_key> keys{before};
    for (auto& x : chain)
      keys.push_back(x.key);
    tiers.touch(keys);
  }

  /// If it stands in host memory.
  bool is_given(const wanted_block& x) const {
    auto bytes = from_memory(x.what());
    if (!bytes)
      return false;
    context.counters->add(counter::host_hits);
    ranks->tell_rank(x.rank, block_fetched{x.fetch, x.index, bytes, true});
    return true;
  }

  uint32_t num_to_fetch(const fetch_chain& msg) {
    auto& chain = *msg.chain;
    auto found = tiers.find(chain, health.may_read());
    context.counters->add(counter::store_misses, found.missed);
    auto before = waiting.size() + reads.size();
    if (found.on_disk == 0 || before + found.all > max_waiting)
      return found.before_disk;
    // Of the chain's later blocks each takes at least as long as the others.
    auto count = found.all - found.before_disk;
    auto to_compute = msg.seconds * count / double(chain.size());
    if (choice->is_worth_it(found.on_disk, before, to_compute))
      return found.all;
    context.counters->add(counter::store_declined, found.on_disk);
    return found.before_disk;
  }

  /// Begins what there is host memory for.
  void pump() {
    while (!waiting.empty()) {
      auto& first = waiting.front();
      bool is_wanted = *first.is_wanted;
      auto is_done = is_wanted && is_given(first);
      if (!is_done && (!is_wanted || !tiers.store))
        lose(first);
      if (is_done || !is_wanted || !tiers.store) {
        waiting.pop_front();
        continue;
      }
      if (reads.size() >= parts->keeper->max_reads)
        return; // it may not be wanted any more by then
      // What is wanted once more stays in host memory.
      auto place = tiers.memory ? tiers.memory->begin_write(first.what())
                                : std::nullopt;
      auto bytes = place ? place->bytes : parts->keeper->reading->take();
      if (!bytes)
        return;
      auto next = std::move(first);
      waiting.pop_front();
      auto slot = place ? std::optional{place->slot} : std::nullopt;
      begin_read(std::move(next), bytes, slot);
    }
  }

  void begin_read(wanted_block x, const kernels::host_ptr& bytes,
                  std::optional<uint64_t> slot) {
    auto ticket = tiers.store->begin_read(x.what());
    if (!ticket) { // another read has found it damaged
      if (slot)
        tiers.memory->end_write(*slot, false);
      return lose(x);
    }
    auto serial = ++last_read;
    reads[serial] = {std::move(x), *ticket, slot, now()};
    if (!disk->read(tiers.store->files(), *ticket, bytes, serial, slot))
      take(block_read{serial, kv_outcome::failed, 0, nullptr, slot});
  }

  void take(const block_read& msg) {
    if (msg.slot)
      tiers.memory->end_write(*msg.slot, msg.how == kv_outcome::whole);
    auto i = reads.find(msg.serial);
    if (i == reads.end())
      return tell_blocks(); // given up
    auto x = std::move(i->second);
    reads.erase(i);
    heard_read = now();
    tiers.store->end_read(x.ticket, msg.how);
    tell_blocks();
    if (msg.how == kv_outcome::damaged)
      disk->erase(tiers.store->files(), x.ticket);
    if (msg.how == kv_outcome::whole) {
      give(x.of, msg);
    } else {
      lose(x.of);
      note(msg.how);
    }
    pump();
  }

  void give(const wanted_block& x, const block_read& msg) {
    choice->add(msg.seconds);
    context.counters->add(counter::store_hits);
    context.counters->add(counter::store_bytes_read, msg.bytes->size());
    auto bytes = msg.slot ? from_memory(x.what()) : msg.bytes;
    // Where memory had no room for it the rank may offer it once more.
    ranks->tell_rank(x.rank, block_fetched{x.fetch, x.index, bytes,
                                           msg.slot || !tiers.memory});
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
    ranks->tell_rank(x.rank, block_fetched{x.fetch, x.index, nullptr});
  }

  // -- time -------------------------------------------------------------------

  void check_deadlines() {
    if (!tiers.store && !is_shut)
      check_opening();
    // What stands behind others is not slow while these are answered.
    if (!reads.empty())
      hear(health.reads_wait(std::max(heard_read, reads.begin()->second.since),
                             now()));
    if (!writes.empty())
      hear(health.writes_wait(
        std::max(heard_written, writes.begin()->second.since), now()));
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
    pump_writes();
  }
};

keeper::behavior_type keeper_role(keeper::stateful_pointer<keeper_state> self,
                                  const node_context& context,
                                  std::shared_ptr<node_parts> parts,
                                  std::shared_ptr<kv_io> io) {
  auto& state = self->state;
  state.context = context;
  state.parts = std::move(parts);
  state.self = self;
  state.now = [self] { return self->clock().now(); };
  auto has_disk = !state.parts->keeper->files.dir.empty();
  if (!io)
    io = std::make_shared<kv_io>(has_disk ? num_threads : 0);
  state.ranks = std::make_unique<rank_caches>(state.self, context, state.parts);
  state.disk = std::make_unique<const disk_jobs>(state.self, std::move(io));
  state.choice
    = std::make_unique<fetch_choice>(std::max(state.disk->num_threads(), 1u));
  state.tiers.memory = std::move(state.parts->keeper->memory);
  state.blocks = {context.counters, counter::store_blocks};
  state.blocks_in_memory = {context.counters, counter::host_blocks};
  state.is_off = {context.counters, counter::store_off};
  auto on_free = [to = weak_handle{state.self}] { to.tell(buffer_freed{}); };
  state.parts->keeper->reading->set_on_free(on_free);
  state.parts->keeper->writing->set_on_free(on_free);
  state.open();
  return {
    [=](const keep_blocks& msg) { self->state.keep(msg); },
    [=](const drop_blocks& msg) { self->state.drop(msg); },
    [=](const block_copied& msg) { self->state.take(msg); },
    [=](const memory_read& msg) { self->state.take(msg); },
    [=](const block_written& msg) { self->state.take(msg); },
    [=](const fetch_chain& msg) { self->state.fetch(msg); },
    [=](const block_read& msg) { self->state.take(msg); },
    [=](const land_block& msg) { self->state.ranks->copy_in(msg); },
    [=](const store_opened& msg) { self->state.take(msg); },
    [=](buffer_freed) {
      self->state.pump_writes();
      self->state.pump();
    },
    [=](tick) { self->state.check_deadlines(); },
  };
}

} // namespace

keeper spawn_keeper(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<node_parts> parts,
                    std::shared_ptr<kv_io> io) {
  return system.spawn(keeper_role, context, std::move(parts), std::move(io));
}

} // namespace troupe
