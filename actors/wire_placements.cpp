#include "actors/wire_placements.hpp"

#include "actors/wire_requests.hpp"

namespace troupe {

namespace {

constexpr const char* no_step = "a step of a change that there is not";

bool is_step(uint8_t x) {
  return x < uint8_t(slots_step::num_steps);
}

} // namespace

// -- to bytes -----------------------------------------------------------------

void write(schema::Placement::Builder x, const placement_published& msg) {
  auto& [unit, epoch, replicas] = *msg.map;
  x.setUnit(unit);
  x.setEpoch(epoch);
  auto list = x.initReplicas(size_of(replicas));
  for (unsigned i = 0; i < replicas.size(); ++i) {
    auto& [layer, expert, replica] = replicas[i];
    auto& [at, weight] = replica;
    list[i].setLayer(layer);
    list[i].setExpert(expert);
    list[i].setWorker(at.worker);
    list[i].setSlot(at.slot);
    list[i].setWeight(weight);
  }
}

void write_all(capnp::List<schema::Placement>::Builder to,
               const placements_of_units& all) {
  for (unsigned i = 0; i < all.size(); ++i)
    write(to[i],
          placement_published{std::make_shared<const placement_lists>(all[i])});
}

void write(schema::PlacementTaken::Builder x, const placement_taken& msg) {
  auto& [rank, epoch] = msg;
  x.setRank(rank);
  x.setEpoch(epoch);
}

void write(schema::ChangeSlots::Builder x, const change_slots& msg) {
  auto& [change, worker, step, epoch, slots] = msg;
  x.setChange(change);
  x.setWorker(worker);
  x.setStep(uint8_t(step));
  x.setEpoch(epoch);
  auto list = x.initSlots(size_of(slots));
  for (unsigned i = 0; i < slots.size(); ++i) {
    auto& [to, proof] = slots[i];
    auto& [layer, slot, expert] = to;
    list[i].setLayer(layer);
    list[i].setSlot(slot);
    list[i].setExpert(expert);
    list[i].setProofLow(proof.low);
    list[i].setProofHigh(proof.high);
  }
}

void write(schema::SlotsChanged::Builder x, const slots_changed& msg) {
  auto& [change, worker, step, why] = msg;
  x.setChange(change);
  x.setWorker(worker);
  x.setStep(uint8_t(step));
  x.setFailure(why);
}

void write(schema::ExpertsGivenUp::Builder x, const experts_given_up& msg) {
  auto& [why, unit] = msg;
  x.setWhy(why);
  x.setUnit(unit);
}

// -- from bytes ---------------------------------------------------------------

placement_published read_placement(schema::Placement::Reader in) {
  auto out = std::make_shared<placement_lists>();
  auto& [unit, epoch, replicas] = *out;
  unit = in.getUnit();
  epoch = in.getEpoch();
  for (auto x : in.getReplicas())
    replicas.push_back({x.getLayer(),
                        x.getExpert(),
                        {{x.getWorker(), x.getSlot()}, x.getWeight()}});
  return {std::move(out)};
}

std::shared_ptr<const placements_of_units>
read_all(capnp::List<schema::Placement>::Reader in) {
  placements_of_units out;
  for (auto x : in)
    out.push_back(*read_placement(x).map);
  if (out.empty())
    return nullptr;
  return std::make_shared<const placements_of_units>(std::move(out));
}

placement_taken read_taken(schema::PlacementTaken::Reader in) {
  return {in.getRank(), in.getEpoch()};
}

experts_given_up read_given_up(schema::ExpertsGivenUp::Reader in) {
  return {in.getWhy(), in.getUnit()};
}

result<change_slots> read_change(schema::ChangeSlots::Reader in) {
  if (!is_step(in.getStep()))
    return damaged(no_step);
  change_slots out{in.getChange(),
                   in.getWorker(),
                   slots_step(in.getStep()),
                   in.getEpoch(),
                   {}};
  for (auto x : in.getSlots())
    out.slots.push_back({{x.getLayer(), x.getSlot(), x.getExpert()},
                         {x.getProofLow(), x.getProofHigh()}});
  return out;
}

result<slots_changed> read_changed(schema::SlotsChanged::Reader in) {
  if (!is_step(in.getStep()))
    return damaged(no_step);
  return slots_changed{in.getChange(), in.getWorker(), slots_step(in.getStep()),
                       in.getFailure()};
}

} // namespace troupe
