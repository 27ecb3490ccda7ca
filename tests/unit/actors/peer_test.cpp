/// What is said to another node leaves as frames; what it says reaches whom it
/// concerns, and nobody else.

#include "actors/frame_router.hpp"
#include "actors/wire.hpp"
#include "runtime/dispatch/slab.hpp"
#include "tests/unit/actors/actor_fixture.hpp"
#include "tests/unit/actors/wire_samples.hpp"

using namespace troupe;

namespace {

/// What anybody of this node may hear.
using anything
  = heard<welcome, node_loaded, view_published, node_connected, cluster_started,
          node_suspected, node_lost, shut_down, run_request, cancel_request,
          tokens_ready, node_report, rows_refused, rows_arrived, rows_returned,
          placement_published, placement_taken, change_slots, slots_changed,
          experts_given_up, node_back, offer_blocks, want_blocks, block_taken,
          offer_ended, piece_came, move_request, request_copied>;

class Peer : public actor_fixture {
protected:
  Peer() {
    context_.net = &network_;
    context_.here->update([this](cast_list& list) {
      list.supervisor = listener<supervisor>("supervisor");
      list.controller = listener<controller>("controller");
      list.gateway = listener<gateway>("gateway");
      list.schedulers[4] = listener<local_scheduler>("scheduler 4");
      list.schedulers[5] = listener<local_scheduler>("scheduler 5");
      list.ranks[3] = listener<attention>("rank 3");
      list.workers[2] = listener<expert_worker>("worker 2");
      list.placer = listener<placer>("placer");
      list.parts = parts();
    });
    for (node_id node : {0, 7}) {
      peers_[node] = spawn_peer(system_, context_, node, 100u + node);
      context_.here->update(
        [&](cast_list& list) { list.peers[node] = peers_[node]; });
    }
    scheduler_.run();
  }

  ~Peer() override {
    for (auto& [node, x] : peers_)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    scheduler_.run();
  }

  static std::shared_ptr<node_parts> parts() {
    auto out = std::make_shared<node_parts>();
    out->maps.resize(1);
    out->dispatch_layout = kernels::row_layout{kernels::dtype::bf16, 8};
    out->combine_row_bytes = 16;
    out->traffic.combine_rows = 4;
    return out;
  }

  template <class Handle>
  Handle listener(const std::string& who) {
    auto& out = ears_[who] = std::make_shared<anything>();
    return spawn_listener<Handle>(out);
  }

  /// Who has heard something since the last call, in order of names.
  std::vector<std::string> heard_by() {
    std::vector<std::string> out;
    for (auto& [who, x] : ears_)
      for (auto i = std::exchange(seen_[who], x->all.size()); i < x->all.size();
           ++i)
        out.push_back(who);
    return out;
  }

  /// `from` has said `message`.
  std::vector<std::string> hear(node_id from, const control_message& message) {
    say(peers_[from], control_arrived{from, encode(message)});
    return heard_by();
  }

  struct frame_network : silent_network {
    void send(node_id to, frame_header header, body payload) override {
      sent.push_back({to, {header, std::move(payload)}});
    }

    std::vector<std::pair<node_id, frame>> sent;
  };

  using names = std::vector<std::string>;

  frame_network network_;
  std::map<std::string, std::shared_ptr<anything>> ears_;
  std::map<std::string, size_t> seen_;
  std::map<node_id, peer> peers_;
};

} // namespace

TEST_F(Peer, TurnsEveryMessageIntoOneFrameToItsNode) {
  auto& to = peers_[7];
  for (auto& message : one_of_each())
    std::visit([&](auto& x) { say(to, x); }, message);
  ASSERT_EQ(network_.sent.size(), one_of_each().size());
  for (size_t i = 0; i < network_.sent.size(); ++i) {
    auto& [node, x] = network_.sent[i];
    EXPECT_EQ(node, 7);
    EXPECT_EQ(x.header.kind, frame_class::control);
    EXPECT_EQ(x.header.destination, 107u) << "no successor is meant";
    auto back = decode(7, x.payload.bytes());
    ASSERT_TRUE(back) << back.why().message;
    EXPECT_EQ(back->index(), i);
  }
}

TEST_F(Peer, TellsWhomItConcernsAndNobodyElse) {
  for (auto& message : one_of_each()) {
    auto is_for = [&](auto x) {
      return std::holds_alternative<decltype(x)>(message);
    };
    names want{"supervisor"}; // what the controller commands
    if (is_for(node_loaded{}) || is_for(node_connected{})
        || is_for(node_suspected{}))
      want = {"controller"};
    else if (is_for(tokens_ready{}) || is_for(node_report{})
             || is_for(request_copied{}))
      want = {"gateway"};
    else if (is_for(run_request{}))
      want = {"scheduler 4"};
    else if (is_for(offer_blocks{}) || is_for(move_request{}))
      want = {"scheduler 5"};
    else if (is_for(cancel_request{}) || is_for(want_blocks{})
             || is_for(block_taken{}) || is_for(offer_ended{})
             || is_for(change_slots{}))
      want = {}; // of a rank or worker that is not here
    else if (is_for(rows_refused{}) || is_for(placement_published{})
             || is_for(experts_given_up{}))
      want = {"rank 3"};
    else if (is_for(placement_taken{}) || is_for(slots_changed{}))
      want = {"placer"};
    EXPECT_EQ(hear(0, message), want) << message.index();
  }
}

TEST_F(Peer, ObeysNobodyButTheController) {
  for (auto& message :
       {control_message{welcome{1, "", ""}}, control_message{full_view()},
        control_message{cluster_started{}}, control_message{shut_down{}},
        control_message{full_placement()},
        control_message{change_slots{1, 2, slots_step::load, 3, {}}},
        control_message{experts_given_up{"no room"}}})
    EXPECT_EQ(hear(7, message), names{}) << message.index();
}

TEST_F(Peer, KnowsTheNewestPlacement) {
  auto said = full_placement();
  hear(0, said);
  auto known = context_.here->read()->placed;
  ASSERT_EQ(known.size(), 1u);
  EXPECT_EQ(*known.at(said.map->unit), *said.map);
  EXPECT_EQ(hear(0, change_slots{1, 2, slots_step::serve, 3, {}}),
            names{"worker 2"});
}

TEST_F(Peer, SaysWhichProcessIsSpeaking) {
  hear(7, node_loaded{});
  hear(7, node_connected{});
  hear(7, node_suspected{7, 1, 101, "it was silent"});
  hear(7, node_report{});
  auto& told = *ears_["controller"];
  EXPECT_EQ(told.of<node_loaded>().at(0).incarnation, 107u);
  EXPECT_EQ(told.of<node_connected>().at(0).incarnation, 107u);
  EXPECT_EQ(told.of<node_suspected>().at(0).by_incarnation, 107u);
  EXPECT_EQ(told.of<node_suspected>().at(0).incarnation, 101u);
  EXPECT_EQ(ears_["gateway"]->of<node_report>().at(0).incarnation, 107u);
}

TEST_F(Peer, CancelsAtOneRankOnly) {
  EXPECT_EQ(hear(0, cancel_request{1, 5, 1}), names{"scheduler 5"});
  EXPECT_EQ(hear(0, cancel_request{1, 6, 1}), names{});
}

TEST_F(Peer, GivesUpWhomItCannotRead) {
  say(peers_[7], control_arrived{7, {}});
  EXPECT_EQ(heard_by(), names{});
  EXPECT_EQ(network_.given_up,
            (std::vector<std::pair<node_id, uint64_t>>{{7, 107}}))
    << "somebody may wait for what that was";
  EXPECT_EQ(hear(7, tokens_ready{1, 1, std::make_shared<generation_event>()}),
            names{"gateway"})
    << "and lives on";
}

// -- frames of rows -----------------------------------------------------------

namespace {

class FrameRouter : public Peer {
protected:
  void route(node_id from, frame_class kind, body payload) {
    frame x{header_of(kind, of_), std::move(payload)};
    x.header.first = 10;
    x.header.source = 100u + from;
    frame_router{context_.here, log_}.route(from, std::move(x));
    scheduler_.run();
  }

  /// One row for each of `workers`.
  static body slab_for(const std::vector<worker_id>& workers) {
    slab_plan plan;
    plan.tokens = {0};
    for (auto worker : workers)
      plan.sections.push_back({worker, {{0, 0, 1}}, {0}, {0}});
    slab_pool pool{1 << 16};
    auto draft = draft_slab(pool, plan, parts()->dispatch_layout.row_bytes());
    EXPECT_TRUE(draft);
    return draft->payload;
  }

  /// What node 7 was told of its rows.
  std::vector<rows_refused> refusals() const {
    std::vector<rows_refused> out;
    for (auto& [to, x] : network_.sent) {
      EXPECT_EQ(to, 7);
      auto message = decode(7, x.payload.bytes());
      EXPECT_TRUE(message);
      out.push_back(std::get<rows_refused>(*message));
      EXPECT_EQ(out.back().of, of_);
    }
    return out;
  }

  const dispatch_key of_{{9, 0, 77}, 5, 1, 33};
};

} // namespace

TEST_F(FrameRouter, GivesSectionsToTheirWorkers) {
  route(7, frame_class::dispatch, slab_for({2}));
  EXPECT_EQ(heard_by(), names{"worker 2"});
  auto x = ears_["worker 2"]->of<rows_arrived>().at(0);
  EXPECT_EQ(x.of, of_);
  EXPECT_EQ(x.from, 7);
  EXPECT_EQ(x.incarnation, 107u);
}

TEST_F(FrameRouter, TellsNoSuccessorOfRowsThatItHasNotSent) {
  context_.here->update([](cast_list& list) { list.processes[7] = 207; });
  route(7, frame_class::dispatch, slab_for({3}));
  EXPECT_TRUE(refusals().empty());
  context_.here->update([](cast_list& list) { list.processes[7] = 107; });
  route(7, frame_class::dispatch, slab_for({3}));
  EXPECT_EQ(refusals().size(), 1u);
}

TEST_F(FrameRouter, SaysAtOnceThatAWorkerIsNotHere) {
  route(7, frame_class::dispatch, slab_for({1, 2, 3}));
  EXPECT_EQ(heard_by(), names{"worker 2"}) << "the others' rows are run";
  EXPECT_EQ(ears_["worker 2"]->of<rows_arrived>().at(0).section, 1u);
  auto all = refusals();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].worker, 1);
  EXPECT_EQ(all[1].worker, 3);
  EXPECT_EQ(all[1].why, rows_fault::unknown_worker);
}

TEST_F(FrameRouter, SaysAtOnceThatASlabIsDamaged) {
  auto good = slab_for({2});
  auto bytes = good.bytes().first(good.bytes().size() - 1);
  route(7, frame_class::dispatch, {good.owner(), bytes});
  EXPECT_EQ(heard_by(), names{});
  auto all = refusals();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].worker, rows_refused::whole_slab);
  EXPECT_EQ(all[0].why, rows_fault::damaged_slab);
}

TEST_F(FrameRouter, SaysAtOnceThatNothingIsLoadedYet) {
  context_.here->update([](cast_list& list) { list.parts = nullptr; });
  route(7, frame_class::dispatch, slab_for({2}));
  ASSERT_EQ(refusals().size(), 1u);
  EXPECT_EQ(refusals()[0].why, rows_fault::unknown_worker);
}

TEST_F(FrameRouter, TellsTheRanksOfItsOwnNodeTheSame) {
  context_.here->update(
    [this](cast_list& list) { list.ranks[9] = listener<attention>("rank 9"); });
  route(1, frame_class::dispatch,
        slab_for({4})); // node 1 is no peer: ourselves
  EXPECT_EQ(heard_by(), names{"rank 9"});
}

TEST_F(FrameRouter, GivesAnswersToTheirRank) {
  context_.here->update(
    [this](cast_list& list) { list.ranks[9] = listener<attention>("rank 9"); });
  route(7, frame_class::combine, {});
  EXPECT_EQ(heard_by(), names{"rank 9"});
  EXPECT_EQ(ears_["rank 9"]->of<rows_returned>().at(0).of, of_);
}

TEST_F(FrameRouter, GivesNobodyAChunkThatNobodyAskedFor) {
  route(7, frame_class::bulk, {});
  EXPECT_EQ(heard_by(), names{});
  EXPECT_TRUE(network_.sent.empty());
}
