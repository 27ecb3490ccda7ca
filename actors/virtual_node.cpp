#include "actors/virtual_node.hpp"

namespace troupe {

virtual_node::virtual_node(world& in, life_id life, node_setup setup,
                           std::function<void()> on_over,
                           virtual_duration disk_time)
  : world_(in), life_(life),
    loads_(in.stream("loads of life " + std::to_string(life))),
    writes_(in.stream("writes of life " + std::to_string(life))),
    disk_time_(disk_time), on_over_(std::move(on_over)),
    core_(std::move(setup),
          {.on_change =
             [this] {
               if (on_over_ && core_.is_over())
                 std::exchange(on_over_, nullptr)();
             },
           .run_blocking = [this](auto fn) { load(std::move(fn)); },
           .run_writing = [this](auto fn) { write(std::move(fn)); }}),
    config_(in, life) {
}

/// What a node begins with is there at once; what comes later takes its time,
/// from a millisecond to a quarter of a second.
void virtual_node::load(std::function<void()> fn) {
  if (!std::exchange(has_begun_, true))
    return fn();
  auto time = std::chrono::milliseconds{1} * (1 << loads_.uniform(9));
  world_.at(life_, world_.now() + time, std::move(fn));
}

/// Of a disk that is now fast and now slow: up to 32 milliseconds.
void virtual_node::write(std::function<void()> fn) {
  auto time = disk_time_.count() > 0
                ? disk_time_
                : std::chrono::milliseconds{1} * (1 << writes_.uniform(6));
  world_.at(life_, world_.now() + time, std::move(fn));
}

result<std::unique_ptr<virtual_node>>
virtual_node::start(world& in, life_id life, node_setup setup,
                    std::function<void()> on_over, virtual_duration disk_time) {
  std::unique_ptr<virtual_node> out{new virtual_node{
    in, life, std::move(setup), std::move(on_over), disk_time}};
  if (auto made = out->core_.open(); !made)
    return made.why();
  out->system_ = std::make_unique<caf::actor_system>(out->config_);
  out->system_->await_actors_before_shutdown(false);
  out->core_.act(*out->system_);
  caf::logger::set_current_actor_system(nullptr);
  return out;
}

/// As node::end_actors: the supervisor goes first.
void virtual_node::end_actors() {
  auto& turns = dynamic_cast<sim_coordinator&>(system_->scheduler());
  auto& here = *core_.here();
  auto bid = [&](auto& actor) {
    if (actor)
      caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  };
  bid(here.read()->supervisor);
  turns.drain();
  here.read()->for_each(bid);
  turns.drain();
}

virtual_node::~virtual_node() {
  on_over_ = nullptr;
  world_.end_life(life_);
  if (system_) {
    core_.end(failure{errc::peer_lost, "the process has ended"});
    core_.leave();
    end_actors();
    core_.let_go();
    system_.reset();
  }
  caf::logger::set_current_actor_system(nullptr);
}

} // namespace troupe
