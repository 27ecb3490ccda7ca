#include "actors/sim_coordinator.hpp"

#include <gtest/gtest.h>

#include <memory>

using namespace troupe;

namespace {

using std::chrono::milliseconds;

/// Actors of one node in a world.
class virtual_actors {
public:
  explicit virtual_actors(world& in)
    : life_(in.begin_life(3)), config_(in, life_),
      system_(std::make_unique<caf::actor_system>(config_)) {
    system_->await_actors_before_shutdown(false);
  }

  caf::actor_system& system() {
    return *system_;
  }

  life_id life() const {
    return life_;
  }

private:
  life_id life_;
  sim_config config_;
  std::unique_ptr<caf::actor_system> system_;
};

using numbers = std::shared_ptr<std::vector<int>>;

/// Writes down what it is told.
caf::actor spawn_scribe(caf::actor_system& system, numbers out) {
  return system.spawn([out](caf::event_based_actor*) {
    return caf::behavior{[out](int x) { out->push_back(x); }};
  });
}

/// How ten actors' messages came out, two for each.
std::vector<int> order_of(uint64_t seed, uint64_t& hash) {
  world in{seed};
  auto out = std::make_shared<std::vector<int>>();
  {
    virtual_actors all{in};
    std::vector<caf::actor> scribes;
    for (int i = 0; i < 10; ++i) {
      scribes.push_back(spawn_scribe(all.system(), out));
      caf::anon_send(scribes.back(), i);
      caf::anon_send(scribes.back(), 100 + i);
    }
    in.run_for(milliseconds{1});
    hash = in.trace().hash();
  }
  return *out;
}

TEST(SimCoordinator, LetsTheSeedChooseWhoseTurnItIs) {
  uint64_t a, b, c;
  auto first = order_of(7, a);
  EXPECT_EQ(order_of(7, b), first);
  EXPECT_NE(order_of(8, c), first);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  ASSERT_EQ(first.size(), 20u);
}

TEST(SimCoordinator, KeepsTheOrderOfWhatOneActorIsTold) {
  uint64_t hash;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<int> last(10, -1);
    for (auto x : order_of(seed, hash)) {
      EXPECT_GT(x, last[size_t(x) % 10]) << "seed " << seed;
      last[size_t(x) % 10] = x;
    }
  }
}

TEST(SimCoordinator, WaitsOnTheClockOfItsNode) {
  world in{1};
  virtual_actors all{in};
  in.clock_of(all.life()).set_drift(100'000); // a tenth too fast
  auto out = std::make_shared<std::vector<int>>();
  auto scribe = spawn_scribe(all.system(), out);
  all.system().spawn([scribe](caf::event_based_actor* self) {
    self->delayed_send(scribe, milliseconds{220}, 2);
    self->delayed_send(scribe, milliseconds{110}, 1);
  });
  in.run_for(milliseconds{99});
  EXPECT_TRUE(out->empty());
  in.run_for(milliseconds{2});
  EXPECT_EQ(*out, (std::vector{1}));
  in.run_for(milliseconds{98});
  EXPECT_EQ(out->size(), 1u);
  in.run_for(milliseconds{2});
  EXPECT_EQ(*out, (std::vector{1, 2}));
}

TEST(SimCoordinator, StandsStillWithItsNode) {
  world in{1};
  virtual_actors all{in};
  auto out = std::make_shared<std::vector<int>>();
  auto scribe = spawn_scribe(all.system(), out);
  in.pause(3);
  caf::anon_send(scribe, 5);
  in.run_for(milliseconds{10});
  EXPECT_TRUE(out->empty());
  in.resume(3);
  in.run_for(milliseconds{1});
  EXPECT_EQ(*out, std::vector{5});
}

/// No actor may be kept alive by a turn that never comes.
TEST(SimCoordinator, EndsActorsOfALifeThatIsOver) {
  auto held = std::make_shared<int>(0);
  std::weak_ptr<int> watch = held;
  world in{1};
  {
    virtual_actors all{in};
    auto actor = all.system().spawn([held](caf::event_based_actor*) {
      return caf::behavior{[held](int) { ++*held; }};
    });
    in.run_for(milliseconds{1});
    caf::anon_send(actor, 1);
    in.end_life(all.life());
    caf::anon_send_exit(actor, caf::exit_reason::kill);
    in.run_for(milliseconds{1});
    EXPECT_EQ(*held, 0);
  }
  held.reset();
  EXPECT_TRUE(watch.expired());
}

} // namespace
