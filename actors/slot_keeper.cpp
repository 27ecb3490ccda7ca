#include "actors/slot_keeper.hpp"

namespace troupe {

namespace {

std::vector<layer_slot> slots_of(const change_slots& msg) {
  std::vector<layer_slot> out;
  for (auto& x : msg.slots)
    out.push_back(x.to);
  return out;
}

} // namespace

slot_keeper::slot_keeper(const node_context& context,
                         std::shared_ptr<node_parts> parts,
                         worker_parts& worker, const expert_worker& self)
  : context_(context), parts_(std::move(parts)), worker_(worker), self_(self),
    free_(context.counters, counter::slots_free),
    filling_(context.counters, counter::slots_loading),
    serving_(context.counters, counter::slots_serving),
    retiring_(context.counters, counter::slots_retiring) {
  count();
}

void slot_keeper::change(const change_slots& msg) {
  switch (msg.step) {
    case slots_step::load:
      load(msg);
      break;
    case slots_step::drop:
      loading_ = 0;
      no_more_.request_stop(); // others wait for the thread, and the files
      let_go(worker_.slots.drop());
      break;
    case slots_step::serve:
      worker_.slots.serve(msg.epoch, slots_of(msg));
      break;
    case slots_step::retire:
      retire(msg);
      break;
    case slots_step::num_steps:
      break;
  }
  count();
}

void slot_keeper::answer(uint32_t change, slots_step step,
                         const std::string& failure) {
  auto list = context_.here->read();
  slots_changed out{change, worker_.id, step, failure};
  if (list->placer)
    tell(list->placer, out);
  else if (auto i = list->peers.find(0); i != list->peers.end())
    tell(i->second, out);
}

/// Somewhere else, since it takes long.
void slot_keeper::load(const change_slots& msg) {
  if (msg.slots.empty()) // it is to say that it is there
    return answer(msg.change, msg.step, "");
  if (!parts_->model)
    return answer(msg.change, msg.step, "it was started without spare slots");
  if (auto ok = worker_.slots.load(slots_of(msg)); !ok)
    return answer(msg.change, msg.step, ok.why().message);
  loading_ = msg.change;
  no_more_ = {};
  auto job = [parts = parts_, msg, to = self_, no_more = no_more_]() mutable {
    std::stop_callback at_the_end{parts->stop, [&] { no_more.request_stop(); }};
    auto all = load_experts(*parts->model, parts->cluster.activations,
                            msg.slots, parts->room, no_more.get_token());
    experts_loaded out{msg.change, nullptr, all ? "" : all.why().message};
    if (all)
      out.experts
        = std::make_shared<const std::vector<arrived_expert>>(std::move(*all));
    to.tell(std::move(out));
  };
  if (context_.run_blocking)
    context_.run_blocking(job);
  else
    job();
}

/// What comes late is let go.
void slot_keeper::take(const experts_loaded& msg) {
  if (loading_ != msg.change)
    return;
  loading_ = 0;
  if (msg.experts) {
    std::vector<layer_slot> all;
    for (auto& x : *msg.experts) {
      all.push_back(x.to);
      worker_.guests[{x.to.moe_layer, x.to.slot}] = x.owner;
      worker_.stages->set_slot(x.to.moe_layer, x.to.slot, x.weights);
    }
    worker_.slots.verify(all);
    count();
  }
  answer(msg.change, slots_step::load, msg.failure);
}

/// What is being computed may still read them.
void slot_keeper::retire(const change_slots& msg) {
  auto slots = worker_.slots.retire(msg.epoch);
  worker_.stream->notify([to = self_, change = msg.change, slots](auto&) {
    to.tell(slots_unused{change, slots});
  });
}

void slot_keeper::empty(const slots_unused& msg) {
  worker_.slots.free(msg.slots);
  let_go(msg.slots);
  count();
  answer(msg.change, slots_step::retire, "");
}

void slot_keeper::let_go(const std::vector<layer_slot>& all) {
  for (auto& x : all) {
    worker_.stages->set_slot(x.moe_layer, x.slot, {});
    worker_.guests.erase({x.moe_layer, x.slot});
  }
}

void slot_keeper::count() {
  using state = expert_slots::state;
  auto& slots = worker_.slots;
  free_.set(slots.count(state::free));
  filling_.set(slots.count(state::loading) + slots.count(state::verified));
  serving_.set(slots.count(state::serving));
  retiring_.set(slots.count(state::retiring));
}

} // namespace troupe
