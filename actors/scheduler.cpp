// Decides what its rank runs next. All decisions are the batcher's; this actor
// carries them.
//
//            work, a lane free            step_ended
//     idle --------------------> stepping -----------> idle | stepping
//                                 |    ^
//                                 +----+ work, a lane free

#include "actors/block_courier.hpp"
#include "actors/block_giver.hpp"
#include "actors/block_taker.hpp"
#include "actors/grammar_desk.hpp"
#include "actors/rank_prices.hpp"
#include "actors/rank_spans.hpp"
#include "runtime/batching/step_book.hpp"
#include "runtime/pipeline/step_walk.hpp"
#include "runtime/planted.hpp"
#include "runtime/request_rules.hpp"

namespace troupe {

namespace {

struct scheduler_state {
  static constexpr const char* name = "scheduler";

  node_context context;
  std::shared_ptr<node_parts> parts;
  rank_parts* rank = nullptr;
  std::unique_ptr<batcher> decide;
  std::unique_ptr<block_courier> courier;
  std::unique_ptr<block_giver> giver;
  std::unique_ptr<block_taker> taker;
  grammar_desk grammars;
  std::shared_ptr<grammar_bell> bell;
  local_scheduler::pointer self = nullptr;
  std::unique_ptr<step_book> book;
  step_spans spans;
  std::function<clock::instant()> now;
  request_rules rules;
  gateway_inbox front;
  /// Requests that others go on with after the next token, and their terms.
  std::map<request_id, uint32_t> passed_on;
  /// Of what the batcher has counted, what is told already.
  uint64_t preemptions = 0;
  uint64_t looked_up = 0;
  uint64_t found = 0;
  gauge running;
  gauge waiting;
  gauge total_blocks;
  gauge free_blocks;
  gauge cached_blocks;
  gauge without_choice;

  /// The gateway of another node is believed no more than a client.
  void run(const run_request& msg) {
    auto settled = msg;
    if (auto cause = obstacle(msg, settled.what))
      return refuse(msg, *cause);
    if (auto grammar = grammars.ask(settled, parts->tokens.grammars.get()))
      begin_with(settled, std::move(*grammar));
    else
      tell_counts();
  }

  void refuse(const run_request& msg, const failure& cause) {
    batch_output last{msg.request, msg.term, {}};
    last.event.first_position = static_cast<uint32_t>(msg.answered.size());
    last.event.finish = finish_reason::failed;
    last.event.cause = cause;
    publish(std::move(last));
  }

  /// Or it waits for its beginning.
  void begin_with(const run_request& settled,
                  result<std::shared_ptr<grammar_masks>> grammar) {
    if (!grammar)
      return refuse(settled, grammar.why());
    auto seconds_for = [this](auto first, auto count) {
      return book->seconds_for(first, count);
    };
    giver->begin(settled);
    if (*grammar)
      tell_grammars();
    grammars.keep(settled, std::move(*grammar));
    if (taker->begin(settled, seconds_for))
      return tell_later(self, local_scheduler{self}, taker->patience(),
                        taker->overdue());
    fetch_or_add(settled, true);
  }

  /// Returns whether it waits for blocks. `is_new`: it has not waited for those
  /// that others fetch.
  bool fetch(const run_request& settled, bool is_new) {
    auto seconds_for = [this](auto first, auto count) {
      return book->seconds_for(first, count);
    };
    auto wait = courier->begin(settled, seconds_for, is_new);
    if (wait == block_courier::wait::fetching)
      tell_later(self, local_scheduler{self}, courier->patience(),
                 courier->overdue());
    return wait != block_courier::wait::none;
  }

  void fetch_or_add(const run_request& settled, bool is_new) {
    if (!fetch(settled, is_new))
      add(settled);
  }

  void add(const run_request& settled) {
    if (decide->end_search(settled.request, settled.term))
      return step(); // it was here all the time
    if (settled.next)
      passed_on[settled.request] = settled.term;
    decide->add(settled.request, settled.term, settled.what, settled.answered,
                grammars.take(settled));
    if (!PLANTED(scheduler_not_woken))
      step();
  }

  void move(const move_request& msg) {
    if (msg.to == rank->id)
      return giver->end(msg.request, msg.term, false);
    auto* x = decide->find(msg.request, msg.term);
    if (!x)
      return tell(front, request_copied{msg.request, msg.term, msg.to, false});
    giver->move({msg.request, msg.term, rank->unit, rank->id, x->request,
                 x->answer, msg.to});
  }

  /// Who waits no more for its beginning. Blocks may be free again also if it
  /// is nobody.
  void let_in(const std::optional<run_request>& who) {
    courier->keep_fresh(); // what has come, too
    if (who)
      add(*who);
    else
      step();
  }

  void let_in(const block_courier::arrivals& x) {
    courier->keep_fresh();
    for (auto& who : x.in)
      add(who);
    for (auto& who : x.again)
      fetch_or_add(who, false);
    step(); // blocks may be free again
  }

  /// Of grammars that were not compiled, or of masks that were not made.
  void go_on_with_grammars() {
    bell->hear();
    for (auto& x : grammars.ready())
      begin_with(x.who, std::move(x.what));
    tell_all(decide->look_at_ends());
    tell_grammars();
    step();
  }

  /// Why `msg` cannot be taken; or settles its request.
  std::optional<failure>
  obstacle(const run_request& msg,
           std::shared_ptr<const generation_request>& request) const {
    if (msg.unit != rank->unit)
      return failure{errc::invalid_input, "the rank does not belong to unit "
                                            + std::to_string(msg.unit)};
    return misfit(msg, request);
  }

  std::optional<failure>
  misfit(const run_request& msg,
         std::shared_ptr<const generation_request>& request) const {
    auto refusal = settle(request, rules);
    if (!refusal)
      refusal = judge_answered(*request, msg.answered, rules);
    return refusal ? std::optional{to_failure(*refusal)} : std::nullopt;
  }

  void cancel(const cancel_request& msg) {
    if (auto i = passed_on.find(msg.request);
        i != passed_on.end() && i->second == msg.term)
      passed_on.erase(i);
    giver->end(msg.request, msg.term, msg.is_passed_on);
    if (auto unread = grammars.cancel(msg))
      publish_cancelled(*unread);
    else if (auto last = decide->cancel(msg.request, msg.term)) {
      courier->cancel(msg); // of a search
      publish(std::move(*last));
    } else if (auto waited = courier->cancel(msg))
      publish_cancelled(*waited);
    else if (auto arrived = taker->cancel(msg))
      publish_cancelled(*arrived);
    step();
  }

  void publish_cancelled(const run_request& x) {
    publish(batcher::cancelled(x.request, x.term, uint32_t(x.answered.size())));
  }

  // -- from rank to rank ------------------------------------------------------

  /// The rank of another node is believed no more than its gateway.
  void take(const offer_blocks& msg) {
    auto settled = msg;
    if (!misfit(msg.of, settled.of.what))
      taker->take(settled);
  }

  template <class Message>
  void give(const Message& msg) {
    giver->take(msg);
    step(); // blocks may be free again
  }

  template <class Message>
  void take_handed(const Message& msg) {
    let_in(taker->take(msg));
  }

  /// Who runs may each need a block in the next step. While somebody waits half
  /// of them are not for requests that are still to come.
  void take(const piece_came& msg) {
    auto half = decide->num_waiting() > 0 ? rank->cache->num_blocks() / 2 : 0;
    let_in(taker->take(msg, std::max(decide->num_running(), half)));
  }

  void lose(const node_lost& msg) {
    giver->lose(msg);
    for (auto& x : taker->lose(msg))
      let_in(std::move(x));
    step();
  }

  void check_deadlines() {
    giver->check();
    taker->check();
    step();
  }

  /// Of the node's process, whose ranks have them together.
  void tell_grammars() {
    auto& cache = parts->tokens.grammars;
    if (!cache)
      return;
    auto more = cache->growth();
    context.counters->add(counter::grammars_compiled, more.compiled);
    context.counters->add(counter::grammar_bytes, more.bytes);
  }

  void take(const blocks_let_go& msg) {
    courier->take(msg);
    step();
  }

  template <class Message>
  void take_answer(const Message& msg) {
    let_in(courier->take(msg));
  }

  void take(const block_fetched& msg) {
    // Who runs may each need one in the next step.
    let_in(courier->take(msg, decide->num_running()));
  }

  void end(const step_ended& msg) {
    spans.end(msg.lane);
    book->end({msg.lane, !msg.cause, msg.away, msg.stages}, now());
    if (msg.stages)
      reprice();
    if (!msg.cause && parts->cluster.limits.moving_requests)
      tell_prices(book->prices(), rank->counts);
    auto outputs = outputs_of(msg);
    giver->end_step(msg.lane);
    tell_all(std::move(outputs));
    courier->keep_fresh();
    step();
  }

  void tell_all(std::vector<batch_output> outputs) {
    for (auto& x : outputs)
      pass_on(x);
    for (auto& x : outputs)
      publish(std::move(x));
  }

  /// Workers of this node say what rows take in experts.
  void reprice() {
    double sum = 0, known = 0;
    for (auto& x : parts->workers)
      if (auto pair = x->counts.pair_ps.get(); pair > 0) {
        sum += double(pair) * 1e-12;
        ++known;
      }
    auto row = known > 0 ? parts->config.num_experts_per_tok * sum / known : 0;
    if (auto x = book->news(row)) {
      decide->reprice(*x);
      context.log->debug("rank " + std::to_string(rank->id) + ": "
                         + to_string(*x));
    }
  }

  /// Whose next token was all that this rank had to compute is let go; the
  /// gateway gives it to another one when it hears of that.
  void pass_on(const batch_output& x) {
    auto i = passed_on.find(x.request);
    auto is_due = i != passed_on.end() && i->second == x.term
                  && (!x.event.tokens.empty()
                      || x.event.finish != finish_reason::none);
    if (!is_due && x.event.finish != finish_reason::none)
      giver->end(x.request, x.term, false); // it moves nowhere
    if (!is_due)
      return;
    passed_on.erase(i);
    giver->end(x.request, x.term, x.event.finish == finish_reason::none);
    if (x.event.finish == finish_reason::none)
      decide->cancel(x.request, x.term);
  }

  std::vector<batch_output> outputs_of(const step_ended& msg) {
    if (!msg.cause)
      return decide->end_step(msg.lane, std::move(*msg.result));
    if (!msg.again)
      return decide->fail_step(msg.lane, *msg.cause);
    context.counters->add(counter::steps_again);
    decide->abandon_step(msg.lane);
    return {};
  }

  void step() {
    auto num_lanes = book->lanes_for(decide->num_rows_at_hand(),
                                     decide->has_prompts());
    do {
      while (auto next = decide->next_step(num_lanes, max_cost()))
        begin(std::move(*next), num_lanes > 1);
    } while (keep_the_preempted() || look_for_the_preempted());
    if (decide->num_out() == 0)
      book->rest();
    tell_counts();
  }

  /// Somebody needed their blocks: these are not to be held for a move. Returns
  /// whether any were.
  bool keep_the_preempted() {
    return decide->num_preemptions() > preemptions
           && giver->end_moves([this](auto id, auto term) {
                auto* x = decide->find(id, term);
                return x && x->running;
              });
  }

  /// What others keep of what they gave back. Returns whether anybody can go on
  /// at once.
  bool look_for_the_preempted() {
    auto can_go_on = false;
    for (auto& x : decide->take_searches())
      can_go_on
        |= !fetch({x->id, x->term, rank->unit, rank->id, x->request, x->answer},
                  true)
           && decide->end_search(x->id, x->term);
    return can_go_on;
  }

  void tell_counts() {
    auto add = [this](counter which, uint64_t all, uint64_t& told) {
      context.counters->add(which, all - std::exchange(told, all));
    };
    add(counter::preemptions, decide->num_preemptions(), preemptions);
    add(counter::tokens_looked_up, decide->num_looked_up(), looked_up);
    add(counter::tokens_found, decide->num_found(), found);
    running.set(decide->num_running());
    waiting.set(num_waiting());
    free_blocks.set(rank->cache->num_available());
    cached_blocks.set(rank->cache->num_idle());
    without_choice.set(decide->num_without_choice());
    auto& x = rank->counts;
    x.running.set(decide->num_running());
    x.waiting.set(num_waiting());
    x.kv_blocks_free.set(rank->cache->num_available());
    x.kv_blocks_cached.set(rank->cache->num_idle());
  }

  uint64_t num_waiting() const {
    return decide->num_waiting() - decide->num_searching()
           + courier->num_waiting() + taker->num_waiting()
           + grammars.num_waiting();
  }

  /// Of a step with somebody who decodes.
  double max_cost() const {
    std::chrono::milliseconds most{parts->cluster.limits.max_itl_ms};
    return most.count() > 0 ? book->cost_within(most) : batcher::no_limit;
  }

  void begin(planned_step next, bool overlaps) {
    auto is_timed = book->begin(next, now());
    rank->counts.steps.add(1);
    spans.begin(next.lane, next.rows.num_rows());
    auto list = context.here->read();
    auto i = list->ranks.find(rank->id);
    CHECK(i != list->ranks.end());
    run_step msg{std::make_shared<const planned_step>(std::move(next)),
                 overlaps};
    msg.times_stages = is_timed;
    giver->begin_step(msg, *decide);
    tell(i->second, std::move(msg));
  }

  void publish(batch_output output) {
    context.counters->add(counter::generated_tokens,
                          output.event.tokens.size());
    rank->counts.tokens.add(output.event.tokens.size());
    tell(front, tokens_ready{output.request, output.term,
                             std::make_shared<const generation_event>(
                               std::move(output.event))});
  }
};

local_scheduler::behavior_type
scheduler_behavior(local_scheduler::stateful_pointer<scheduler_state> self,
                   const node_context& context,
                   std::shared_ptr<node_parts> parts, rank_parts* rank,
                   batcher_options options, gateway_inbox answers_to) {
  auto& state = self->state;
  auto tell_it = [to = weak_handle{local_scheduler{self}}] {
    to.tell(grammar_ready{});
  };
  state.bell = std::make_shared<grammar_bell>(tell_it);
  options.when_ready = std::make_shared<const std::function<void()>>(
    [bell = state.bell] { bell->ring(); });
  state.grammars = grammar_desk{options.when_ready};
  state.context = context;
  state.parts = std::move(parts);
  state.rank = rank;
  state.decide = std::make_unique<batcher>(options, *rank->cache);
  state.courier = std::make_unique<block_courier>(context, rank->id,
                                                  *rank->cache);
  auto on_copied = [front = answers_to](auto& msg) { tell(front, msg); };
  state.giver = std::make_unique<block_giver>(self, context, state.parts, *rank,
                                              on_copied);
  state.taker = std::make_unique<block_taker>(self, context, state.parts,
                                              *rank);
  state.self = self;
  auto& limits = state.parts->cluster.limits;
  step_book::settings book;
  book.num_lanes = limits.num_lanes();
  book.chooses_lanes = limits.micro_batches == 0;
  book.prices_requests = limits.moving_requests;
  state.book = std::make_unique<step_book>(state.parts->config, book);
  state.now = [self] { return self->clock().now(); };
  if (context.spans)
    state.spans = {*context.spans, rank->id, limits.num_lanes()};
  state.rules.max_model_len = options.max_model_len;
  state.rules.vocab_size = options.vocab_size;
  state.front = std::move(answers_to);
  state.running = {context.counters, counter::running};
  state.waiting = {context.counters, counter::waiting};
  state.total_blocks = {context.counters, counter::kv_blocks_total};
  state.free_blocks = {context.counters, counter::kv_blocks_free};
  state.cached_blocks = {context.counters, counter::kv_blocks_cached};
  state.without_choice = {context.counters, counter::requests_without_choice};
  state.total_blocks.set(rank->pool->num_blocks());
  state.tell_counts();
  return {
    [=](const run_request& msg) { self->state.run(msg); },
    [=](const cancel_request& msg) { self->state.cancel(msg); },
    [=](const move_request& msg) { self->state.move(msg); },
    [=](const step_ended& msg) { self->state.end(msg); },
    [=](const blocks_let_go& msg) { self->state.take(msg); },
    [=](const chain_found& msg) { self->state.take_answer(msg); },
    [=](const block_fetched& msg) { self->state.take(msg); },
    [=](const block_landed& msg) { self->state.take_answer(msg); },
    [=](const fetch_overdue& msg) { self->state.take_answer(msg); },
    [=](const offer_blocks& msg) { self->state.take(msg); },
    [=](const want_blocks& msg) { self->state.give(msg); },
    [=](const block_taken& msg) { self->state.give(msg); },
    [=](const layers_written& msg) { self->state.giver->take(msg); },
    [=](const block_left& msg) { self->state.give(msg); },
    [=](buffer_freed) { self->state.giver->send(); },
    [=](const piece_came& msg) { self->state.take(msg); },
    [=](const piece_landed& msg) { self->state.take_handed(msg); },
    [=](const offer_ended& msg) { self->state.take_handed(msg); },
    [=](const wait_overdue& msg) { self->state.take_handed(msg); },
    [=](grammar_ready) { self->state.go_on_with_grammars(); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](tick) { self->state.check_deadlines(); },
  };
}

} // namespace

local_scheduler
spawn_scheduler(caf::actor_system& system, const node_context& context,
                std::shared_ptr<node_parts> parts, rank_parts& rank,
                batcher_options options, gateway_inbox answers_to) {
  return system.spawn(scheduler_behavior, context, std::move(parts), &rank,
                      std::move(options), std::move(answers_to));
}

} // namespace troupe
