#include "actors/wire.hpp"

#include "actors/wire_placements.hpp"
#include "actors/wire_requests.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>

namespace troupe {

namespace {

using schema::Control;

/// 16 MiB: the longest prompts, and logits for tests.
constexpr uint64_t max_words = 2u << 20;

/// What is read counts by its size, an element without one as a word: a list of
/// these is no longer than its message, give or take. Honest ones ask for some
/// lists several times.
constexpr uint64_t reads_of_a_word = 8, words_to_begin_with = 64;

// Every message is taken apart and put together by structured bindings: a field
// that is added and forgotten does not build. Fields that do not travel are
// named so.

// -- to bytes -----------------------------------------------------------------

void write(Control::Builder out, const welcome& msg) {
  auto x = out.initWelcome();
  auto& [node, topology, model_dir, is_running, placed] = msg;
  x.setNode(node);
  x.setTopology(topology);
  x.setModelDir(model_dir);
  x.setIsRunning(is_running);
  if (placed)
    write_all(x.initPlaced(size_of(*placed)), *placed);
}

void write(Control::Builder out, const node_loaded& msg) {
  auto x = out.initLoaded();
  [[maybe_unused]] auto& [the_sender, what, its_incarnation] = msg;
  auto& [settings, target, tensors, is_complete] = what;
  x.setSettings(settings);
  x.setTarget(target);
  auto names = x.initNames(size_of(tensors));
  auto digests = x.initDigests(static_cast<unsigned>(2 * tensors.size()));
  for (unsigned i = 0; i < tensors.size(); ++i) {
    names.set(i, tensors[i].name);
    digests.set(2 * i, tensors[i].bytes.low);
    digests.set(2 * i + 1, tensors[i].bytes.high);
  }
  x.setIsComplete(is_complete);
}

void write(schema::View::Member::Builder out, const member& x) {
  auto& [name, incarnation, address, is] = x;
  auto& [host, port] = address;
  out.setName(name);
  out.setIncarnation(incarnation);
  out.setHost(host);
  out.setPort(port);
  out.setState(static_cast<uint8_t>(is));
}

void write(Control::Builder out, const view_published& msg) {
  auto x = out.initView();
  auto& [number, epochs, members] = *msg.members;
  x.setView(number);
  fill(x.initEpochs(size_of(epochs)), epochs);
  auto list = x.initMembers(size_of(members));
  for (unsigned i = 0; i < members.size(); ++i)
    write(list[i], members[i]);
}

void write(Control::Builder out, const node_connected& msg) {
  [[maybe_unused]] auto& [the_sender, view, its_incarnation] = msg;
  out.setHolds(view);
}

void write(Control::Builder out, const cluster_started&) {
  out.setStarted();
}

void write(Control::Builder out, const node_suspected& msg) {
  auto x = out.initSuspect();
  [[maybe_unused]] auto& [the_sender, node, incarnation, why, its_incarnation]
    = msg;
  x.setNode(node);
  x.setIncarnation(incarnation);
  x.setWhy(why);
}

void write(Control::Builder out, const node_lost& msg) {
  auto x = out.initNodeLost();
  [[maybe_unused]] auto& [node, incarnation, name, why, its_peace] = msg;
  x.setNode(node);
  x.setIncarnation(incarnation);
  x.setName(name);
  x.setWhy(why);
}

void write(Control::Builder out, const node_back& msg) {
  auto x = out.initNodeBack();
  auto& [node, incarnation, name] = msg;
  x.setNode(node);
  x.setIncarnation(incarnation);
  x.setName(name);
}

void write(Control::Builder out, const shut_down&) {
  out.setShutdown();
}

void write(Control::Builder out, const run_request& msg) {
  write(out.initRunRequest(), msg);
}

void write(Control::Builder out, const tokens_ready& msg) {
  write(out.initTokensReady(), msg);
}

void write(Control::Builder out, const offer_blocks& msg) {
  write(out.initOfferBlocks(), msg);
}

void write(Control::Builder out, const want_blocks& msg) {
  write(out.initWantBlocks(), msg);
}

void write(Control::Builder out, const block_taken& msg) {
  write(out.initBlockTaken(), msg);
}

void write(Control::Builder out, const offer_ended& msg) {
  write(out.initOfferEnded(), msg);
}

void write(Control::Builder out, const move_request& msg) {
  write(out.initMoveRequest(), msg);
}

void write(Control::Builder out, const request_copied& msg) {
  write(out.initRequestCopied(), msg);
}

void write(Control::Builder out, const cancel_request& msg) {
  write(out.initCancelRequest(), msg);
}

void write(Control::Builder out, const rows_refused& msg) {
  auto x = out.initRowsRefused();
  auto& [of, worker, why] = msg;
  auto& [id, layer, epoch, step] = of;
  x.setId(id.pack());
  x.setLayer(layer);
  x.setEpoch(epoch);
  x.setStep(step);
  x.setWorker(worker);
  x.setWhy(static_cast<uint8_t>(why));
}

constexpr unsigned numbers_of_rank = 12, numbers_of_worker = 3;

void write(schema::Report::Builder out, const part_loads& loads) {
  auto& [ranks, workers, expert_rows] = loads;
  out.setHasLoads(true);
  std::vector<uint64_t> numbers;
  for (auto& x : ranks) {
    auto& [rank, running, waiting, free, cached, steps, tokens, step, request,
           kv_token, prompt_token, pair]
      = x;
    numbers.insert(numbers.end(),
                   {rank, running, waiting, free, cached, steps, tokens, step,
                    request, kv_token, prompt_token, pair});
  }
  fill(out.initRanks(size_of(numbers)), numbers);
  numbers.clear();
  for (auto& x : workers) {
    auto& [worker, runs, rows] = x;
    numbers.insert(numbers.end(), {worker, runs, rows});
  }
  fill(out.initWorkers(size_of(numbers)), numbers);
  fill(out.initExpertRows(size_of(expert_rows)), expert_rows);
}

void write(Control::Builder out, const placement_published& msg) {
  write(out.initPlacement(), msg);
}

void write(Control::Builder out, const placement_taken& msg) {
  write(out.initPlacementTaken(), msg);
}

void write(Control::Builder out, const change_slots& msg) {
  write(out.initChangeSlots(), msg);
}

void write(Control::Builder out, const slots_changed& msg) {
  write(out.initSlotsChanged(), msg);
}

void write(Control::Builder out, const experts_given_up& msg) {
  write(out.initExpertsGivenUp(), msg);
}

/// What a report says of the network, after the counters.
constexpr const char* bytes_sent_name = "bytes_sent";
constexpr const char* strangers_name = "strangers_dropped";
constexpr const char* refused_prefix = "frames_refused.";

void write(Control::Builder out, const node_report& msg) {
  [[maybe_unused]] auto& [the_sender, counters, network, loads, its_incarnation]
    = msg;
  auto& [bytes_sent, strangers_dropped, frames_refused] = network;
  std::vector<std::pair<std::string, uint64_t>> all;
  for (size_t i = 0; i < num_counters; ++i)
    all.push_back({std::string{name_of(counter(i))}, counters[i]});
  all.push_back({bytes_sent_name, bytes_sent});
  all.push_back({strangers_name, strangers_dropped});
  for (size_t i = 0; i < size_t(refusal::num_refusals); ++i)
    all.push_back({refused_prefix + std::to_string(i), frames_refused[i]});
  auto x = out.initReport();
  auto names = x.initNames(size_of(all));
  auto values = x.initValues(size_of(all));
  for (unsigned i = 0; i < all.size(); ++i) {
    names.set(i, all[i].first);
    values.set(i, all[i].second);
  }
  if (loads)
    write(x, *loads);
}

// -- from bytes ---------------------------------------------------------------

result<member> read_member(schema::View::Member::Reader in) {
  member out;
  auto& [name, incarnation, address, is] = out;
  auto& [host, port] = address;
  name = in.getName();
  incarnation = in.getIncarnation();
  host = in.getHost();
  port = in.getPort();
  is = static_cast<member_state>(in.getState());
  if (is >= member_state::num_states)
    return damaged("a state of a member that this version does not know");
  return out;
}

result<control_message> read_view(schema::View::Reader in) {
  auto out = std::make_shared<view>();
  auto& [number, epochs, members] = *out;
  number = in.getView();
  for (auto epoch : in.getEpochs())
    epochs.push_back(epoch);
  for (auto m : in.getMembers()) {
    auto x = read_member(m);
    if (!x)
      return x.why();
    members.push_back(std::move(*x));
  }
  return control_message{view_published{std::move(out)}};
}

result<part_loads> read_loads(schema::Report::Reader in) {
  part_loads out;
  auto& [ranks, workers, expert_rows] = out;
  auto x = in.getRanks();
  auto y = in.getWorkers();
  if (x.size() % numbers_of_rank != 0 || y.size() % numbers_of_worker != 0)
    return damaged("loads of a part of a rank or a worker");
  for (unsigned i = 0; i < x.size(); i += numbers_of_rank)
    ranks.push_back({rank_id(x[i]), x[i + 1], x[i + 2], x[i + 3], x[i + 4],
                     x[i + 5], x[i + 6], x[i + 7], x[i + 8], x[i + 9],
                     x[i + 10], x[i + 11]});
  for (unsigned i = 0; i < y.size(); i += numbers_of_worker)
    workers.push_back({worker_id(y[i]), y[i + 1], y[i + 2]});
  for (auto rows : in.getExpertRows())
    expert_rows.push_back(rows);
  return out;
}

result<control_message> read_report(node_id from, schema::Report::Reader in) {
  node_report out;
  [[maybe_unused]] auto& [the_sender, counters, network, its_loads,
                          its_incarnation]
    = out;
  if (in.getHasLoads()) {
    auto loads = read_loads(in);
    if (!loads)
      return loads.why();
    its_loads = std::make_shared<const part_loads>(std::move(*loads));
  }
  auto& [bytes_sent, strangers_dropped, frames_refused] = network;
  the_sender = from;
  auto names = in.getNames();
  auto values = in.getValues();
  if (names.size() != values.size())
    return damaged("a report with more names than values");
  // By name, so that versions may differ; unknown names are skipped.
  for (unsigned i = 0; i < names.size(); ++i) {
    std::string_view name{names[i].begin(), names[i].size()};
    for (size_t c = 0; c < num_counters; ++c)
      if (name == name_of(counter(c)))
        counters[c] = values[i];
    if (name == bytes_sent_name)
      bytes_sent = values[i];
    if (name == strangers_name)
      strangers_dropped = values[i];
    for (size_t r = 0; r < size_t(refusal::num_refusals); ++r)
      if (name == refused_prefix + std::to_string(r))
        frames_refused[r] = values[i];
  }
  return control_message{out};
}

control_message read_welcome(schema::Welcome::Reader in) {
  welcome out;
  auto& [node, topology, model_dir, is_running, placed] = out;
  node = in.getNode();
  topology = in.getTopology();
  model_dir = in.getModelDir();
  is_running = in.getIsRunning();
  placed = read_all(in.getPlaced());
  return out;
}

result<control_message> read_loaded(node_id from, schema::Loaded::Reader in) {
  node_loaded out;
  [[maybe_unused]] auto& [the_sender, what, its_incarnation] = out;
  auto& [settings, target, tensors, is_complete] = what;
  the_sender = from;
  settings = in.getSettings();
  target = in.getTarget();
  auto names = in.getNames();
  auto digests = in.getDigests();
  if (names.size() > max_tensors_in_part || digests.size() != 2 * names.size())
    return damaged("tensors without digests, or too many of them");
  for (unsigned i = 0; i < names.size(); ++i)
    tensors.push_back({names[i], {digests[2 * i], digests[2 * i + 1]}});
  is_complete = in.getIsComplete();
  return control_message{out};
}

constexpr const char* no_incarnation = "a process without an incarnation";

result<control_message> read_suspect(node_id from, schema::Suspect::Reader in) {
  node_suspected out;
  [[maybe_unused]] auto& [the_sender, node, incarnation, why, its_incarnation]
    = out;
  the_sender = from;
  node = in.getNode();
  incarnation = in.getIncarnation();
  why = in.getWhy();
  if (incarnation == 0)
    return damaged(no_incarnation);
  return control_message{std::move(out)};
}

result<control_message> read_lost(schema::NodeLost::Reader in) {
  node_lost out;
  [[maybe_unused]] auto& [node, incarnation, name, why, its_peace] = out;
  node = in.getNode();
  incarnation = in.getIncarnation();
  name = in.getName();
  why = in.getWhy();
  if (incarnation == 0)
    return damaged(no_incarnation);
  return control_message{std::move(out)};
}

result<control_message> read_back(schema::NodeBack::Reader in) {
  node_back out;
  auto& [node, incarnation, name] = out;
  node = in.getNode();
  incarnation = in.getIncarnation();
  name = in.getName();
  if (incarnation == 0)
    return damaged(no_incarnation);
  return control_message{std::move(out)};
}
result<control_message> read_refused(schema::RowsRefused::Reader in) {
  rows_refused out;
  auto& [of, worker, why] = out;
  auto& [id, layer, epoch, step] = of;
  id = rows_id::unpack(in.getId());
  layer = in.getLayer();
  epoch = in.getEpoch();
  step = in.getStep();
  worker = in.getWorker();
  why = static_cast<rows_fault>(in.getWhy());
  if (in.getWhy() == 0 || why >= rows_fault::num_faults)
    return damaged("a reason that this version does not know");
  return control_message{out};
}

template <class T>
result<control_message> to_message(result<T> x) {
  if (!x)
    return x.why();
  return control_message{std::move(*x)};
}

result<control_message> read(node_id from, Control::Reader in) {
  switch (in.which()) {
    case Control::WELCOME:
      return read_welcome(in.getWelcome());
    case Control::LOADED:
      return read_loaded(from, in.getLoaded());
    case Control::VIEW:
      return read_view(in.getView());
    case Control::CONNECTED:
      break;
    case Control::HOLDS:
      return control_message{node_connected{from, in.getHolds()}};
    case Control::NODE_BACK:
      return read_back(in.getNodeBack());
    case Control::STARTED:
      return control_message{cluster_started{}};
    case Control::SUSPECT:
      return read_suspect(from, in.getSuspect());
    case Control::NODE_LOST:
      return read_lost(in.getNodeLost());
    case Control::SHUTDOWN:
      return control_message{shut_down{}};
    case Control::RUN_REQUEST:
      return to_message(read_request(in.getRunRequest()));
    case Control::CANCEL_REQUEST:
      return control_message{read_cancel(in.getCancelRequest())};
    case Control::TOKENS_READY:
      return to_message(read_tokens(in.getTokensReady()));
    case Control::REPORT:
      return read_report(from, in.getReport());
    case Control::ROWS_REFUSED:
      return read_refused(in.getRowsRefused());
    case Control::PLACEMENT:
      return control_message{read_placement(in.getPlacement())};
    case Control::PLACEMENT_TAKEN:
      return control_message{read_taken(in.getPlacementTaken())};
    case Control::CHANGE_SLOTS:
      return to_message(read_change(in.getChangeSlots()));
    case Control::SLOTS_CHANGED:
      return to_message(read_changed(in.getSlotsChanged()));
    case Control::OFFER_BLOCKS:
      return to_message(read_offer(in.getOfferBlocks()));
    case Control::WANT_BLOCKS:
      return control_message{read_wanted(in.getWantBlocks())};
    case Control::BLOCK_TAKEN:
      return control_message{read_taken_block(in.getBlockTaken())};
    case Control::OFFER_ENDED:
      return control_message{read_offer_end(in.getOfferEnded())};
    case Control::MOVE_REQUEST:
      return control_message{read_move(in.getMoveRequest())};
    case Control::REQUEST_COPIED:
      return control_message{read_copied(in.getRequestCopied())};
    case Control::EXPERTS_GIVEN_UP:
      return control_message{read_given_up(in.getExpertsGivenUp())};
  }
  return damaged("a kind that this version does not know");
}

} // namespace

body encode(const control_message& message) {
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<Control>();
  std::visit([&](auto& x) { write(root, x); }, message);
  auto words = std::make_shared<kj::Array<capnp::word>>(
    capnp::messageToFlatArray(builder));
  auto bytes = words->asBytes();
  return {words,
          {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()}};
}

result<control_message> decode(node_id from, std::span<const std::byte> bytes) {
  if (bytes.size() % sizeof(capnp::word) != 0
      || reinterpret_cast<uintptr_t>(bytes.data()) % sizeof(capnp::word) != 0)
    return damaged("a size or an address that is no multiple of 8");
  auto words = kj::arrayPtr(reinterpret_cast<const capnp::word*>(bytes.data()),
                            bytes.size() / sizeof(capnp::word));
  auto limit = words_to_begin_with + reads_of_a_word * words.size();
  try {
    capnp::FlatArrayMessageReader reader{
      words,
      {.traversalLimitInWords = std::min(max_words, limit),
       .nestingLimit = 16}};
    return read(from, reader.getRoot<Control>());
  } catch (const kj::Exception&) {
    return damaged("bytes that cannot be read");
  }
}

} // namespace troupe
