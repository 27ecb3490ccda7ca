#include "runtime/sim/virtual_device.hpp"
#include "runtime/sim/virtual_results.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

using namespace troupe;
using namespace troupe::kernels;
using namespace std::chrono_literals;

namespace {

constexpr uint32_t cols = 64;

/// So that a copy of 64 floats takes 1 us + 1 ms.
constexpr device_rates slow_machine{
  .bytes_per_second = 512e3, .copied_per_second = 256e3, .per_kernel = 1e-6};
constexpr auto copy_time = 1001us;

class SimDevice : public testing::Test {
protected:
  using row = std::array<float, cols>;

  tensor make() {
    return dense(*dev->allocate(sizeof(row)), dtype::f32, 1, cols);
  }

  float* values(const tensor& t) {
    return host::row<float>(t, 0);
  }

  tensor put(float x) {
    auto out = make();
    std::fill_n(values(out), cols, x);
    return out;
  }

  operation bring(const row& from, const tensor& to) {
    return copy_in{reinterpret_cast<const std::byte*>(from.data()), to.mem,
                   nullptr};
  }

  operation fetch(const tensor& from, row& to) {
    return copy_out{from.mem, reinterpret_cast<std::byte*>(to.data()), nullptr};
  }

  void notify(stream& s, std::string name) {
    s.notify([this, name](const stream_status& how) {
      told.push_back(name + (how ? "" : ": " + how.failure));
      told_at.push_back(w.now() - world_begin);
    });
  }

  world w{1};
  life_id life = w.begin_life(3);
  std::unique_ptr<virtual_device> dev = std::make_unique<virtual_device>(
    w, life, 0, make_reference_executor(), cost_model{slow_machine});
  std::vector<std::string> told;
  std::vector<virtual_duration> told_at;
};

using strings = std::vector<std::string>;

} // namespace

TEST_F(SimDevice, ComputesAtTheEndOfItsTimeAndPoisonsUntilThen) {
  row in, out;
  in.fill(2);
  out.fill(7);
  auto x = put(5);
  auto s = dev->make_stream();
  s->enqueue(bring(in, x));
  s->enqueue(fetch(x, out));
  notify(*s, "done");
  EXPECT_EQ(values(x)[0], 5);
  w.run_for(1us);
  EXPECT_TRUE(std::isnan(values(x)[0]) && std::isnan(values(x)[63]));
  EXPECT_EQ(out[0], 7) << "it has not begun";
  w.run_until(world_begin + copy_time);
  EXPECT_EQ(values(x)[63], 2);
  EXPECT_TRUE(std::isnan(out[0]));
  w.run_for(1s);
  EXPECT_EQ(out[0], 2);
  EXPECT_EQ(told, strings{"done"});
  EXPECT_EQ(told_at[0], 2 * copy_time);
  EXPECT_EQ(w.trace().count(trace_kind::operation_ended), 2u);
}

TEST_F(SimDevice, OperationsTakeWhatTheirCostSays) {
  auto x = make();
  rms_norm norm{.x = x, .weight = x, .out = x, .operand = {}};
  auto cost = cost_of(norm);
  EXPECT_EQ(duration_of(norm, cost_model{{.wide_flops = 1e9,
                                          .bytes_per_second = 1e9,
                                          .per_kernel = 3e-6}}),
            3us + std::chrono::nanoseconds{cost.flops + cost.bytes});
  row out;
  EXPECT_EQ(duration_of(fetch(x, out), cost_model{slow_machine}), copy_time);
}

TEST_F(SimDevice, ASlowNodeTakesLonger) {
  row out;
  auto x = make();
  auto s = dev->make_stream();
  w.slow(3, 3);
  s->enqueue(fetch(x, out));
  notify(*s, "slow");
  w.run_for(1s);
  w.slow(3, 1);
  s->enqueue(fetch(x, out));
  notify(*s, "again");
  w.run_for(1s);
  EXPECT_EQ(told_at[0], 3 * copy_time);
  EXPECT_EQ(told_at[1], 1s + copy_time);
}

TEST_F(SimDevice, StreamsRunBesideEachOtherInTheOrderOfEvents) {
  row in, out, other;
  in.fill(4);
  auto x = put(1);
  auto a = dev->make_stream(), b = dev->make_stream(), c = dev->make_stream();
  a->enqueue(bring(in, x));
  b->wait(a->record());
  b->enqueue(fetch(x, out));
  notify(*b, "b");
  c->enqueue(fetch(put(1), other));
  notify(*c, "c");
  notify(*a, "a");
  w.run_for(1s);
  EXPECT_EQ(told, (strings{"a", "c", "b"}));
  EXPECT_EQ(told_at[0], copy_time);
  EXPECT_EQ(told_at[2], 2 * copy_time);
  EXPECT_EQ(out[0], 4);
  b->wait(a->record()); // What is done is done.
  notify(*b, "late");
  EXPECT_EQ(told.size(), 3u) << "not inside of notify";
  w.run_for(0s);
  EXPECT_EQ(told.back(), "late");
}

TEST_F(SimDevice, SparesWhatAnOperationReadsAsWell) {
  auto x = put(3), unit = put(1), out = put(9);
  poison_outputs(rms_norm{.x = x, .weight = unit, .out = x, .operand = {}});
  EXPECT_EQ(values(x)[0], 3);
  poison_outputs(rms_norm{.x = x, .weight = unit, .out = out, .operand = {}});
  EXPECT_TRUE(std::isnan(values(out)[cols - 1]));
  EXPECT_EQ(values(unit)[0], 1);
  linear sum;
  sum.x.values = x;
  sum.residual = sum.out = unit;
  poison_outputs(sum);
  EXPECT_EQ(values(unit)[0], 1);
  combine in_place;
  in_place.residual = x;
  poison_outputs(in_place);
  EXPECT_EQ(values(x)[0], 3);
  auto part = put(9);
  part.cols = cols / 2;
  poison_outputs(quantize{x, {part, {}}});
  EXPECT_TRUE(std::isnan(values(part)[cols / 2 - 1]));
  EXPECT_EQ(values(part)[cols / 2], 9) << "other columns are others'";
}

TEST_F(SimDevice, TheNthOperationFailsAndPoisonsItsStream) {
  row out;
  auto x = make();
  auto a = dev->make_stream(), b = dev->make_stream();
  dev->fail_operation(2);
  a->enqueue(fetch(x, out));
  notify(*a, "well");
  a->enqueue(fetch(x, out));
  auto failed = a->record();
  a->enqueue(fetch(x, out));
  notify(*a, "a");
  w.run_for(1s);
  EXPECT_EQ(told, (strings{"well", "a: copy_out: the device has failed"}));
  EXPECT_EQ(told_at[1], 2 * copy_time) << "what is skipped takes no time";
  EXPECT_EQ(dev->num_operations(), 2u);
  EXPECT_TRUE(dev->has_failed_operation(2));
  EXPECT_FALSE(dev->has_failed_operation(1));
  EXPECT_FALSE(dev->has_failed_allocation(2)) << "each kind for itself";
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_EQ(w.trace().count(trace_kind::operation_failed), 1u);
  b->enqueue(fetch(x, out));
  notify(*b, "b");
  b->wait(failed);
  notify(*b, "b");
  w.run_for(1s);
  EXPECT_EQ(told[2], "b");
  EXPECT_EQ(told[3], "b: copy_out: the device has failed");
}

TEST_F(SimDevice, FailsNoMoreOnceFaultsHaveStopped) {
  row out;
  auto x = make();
  dev->fail_operation(1);
  dev->fail_allocation(dev->num_allocations() + 1);
  dev->fail_nothing();
  auto s = dev->make_stream();
  s->enqueue(fetch(x, out));
  notify(*s, "well");
  w.run_for(1s);
  EXPECT_EQ(told, strings{"well"});
  EXPECT_TRUE(dev->allocate(64));
  EXPECT_FALSE(dev->has_failed_operation(1));
}

TEST_F(SimDevice, TheNthAllocationFindsNothing) {
  dev->fail_allocation(2);
  dev->fail_allocation(4);
  EXPECT_TRUE(dev->allocate(64));
  EXPECT_FALSE(dev->allocate(64));
  EXPECT_TRUE(dev->allocate_host(64));
  EXPECT_FALSE(dev->allocate_host(64));
  EXPECT_TRUE(dev->allocate(64));
  EXPECT_EQ(dev->num_allocations(), 5u);
  for (uint64_t n = 1; n <= 5; ++n)
    EXPECT_EQ(dev->has_failed_allocation(n), n == 2 || n == 4) << n;
  EXPECT_EQ(w.trace().count(trace_kind::allocation_failed), 2u);
}

TEST_F(SimDevice, NoticesOfAStoppedProcessWaitAndOfADeadOneNeverCome) {
  row out;
  auto x = put(1);
  auto s = dev->make_stream();
  s->enqueue(fetch(x, out));
  notify(*s, "first");
  w.pause(3);
  w.run_for(1s);
  EXPECT_TRUE(told.empty());
  w.resume(3);
  w.run_for(1s);
  EXPECT_EQ(told, strings{"first"});
  s->enqueue(fetch(x, out));
  notify(*s, "second");
  w.run_for(1us);
  w.crash(3);
  w.run_for(1s);
  s.reset();
  dev.reset();
  EXPECT_EQ(told.size(), 1u);
  EXPECT_TRUE(std::isnan(out[0])) << "a crash discards what is left";
}

TEST_F(SimDevice, AStreamThatEndsHasComputedWhatDoesNotWaitForOthers) {
  row in, out, never;
  in.fill(6);
  never.fill(8);
  auto x = put(1);
  auto a = dev->make_stream(), b = dev->make_stream(), c = dev->make_stream();
  auto token = std::make_shared<int>();
  a->enqueue(bring(in, x));
  a->enqueue(fetch(x, out));
  auto done = a->record();
  a->notify([token](auto&) { ++*token; });
  b->wait(a->record());
  notify(*b, "b");
  w.run_for(1us);
  a.reset();
  EXPECT_EQ(out[0], 6);
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_EQ(*token, 0);
  w.run_for(1s);
  EXPECT_EQ(told, strings{"b"});
  b->enqueue(bring(in, x));
  c->wait(b->record());
  c->enqueue(fetch(x, never));
  auto dropped = c->record();
  c.reset();
  EXPECT_EQ(never[0], 8);
  b->wait(dropped);
  notify(*b, "b");
  w.run_for(1s);
  EXPECT_EQ(told.back(), "b: its stream has ended before");
}

TEST_F(SimDevice, ANoticeMayEndItsStream) {
  row out;
  auto s = dev->make_stream();
  s->notify([&](auto&) { s.reset(); });
  s->enqueue(fetch(put(1), out));
  notify(*s, "never");
  w.run_for(1s);
  EXPECT_FALSE(s);
  EXPECT_EQ(out[0], 1);
  EXPECT_TRUE(told.empty());
}

TEST_F(SimDevice, WithoutArithmeticRoutersAndDrawsStillChoose) {
  constexpr uint32_t tokens = 32, experts = 20, top_k = 6;
  virtual_device quick{w, life, 1, nullptr, cost_model{slow_machine}};
  auto floats = [&](uint32_t r, uint32_t c, dtype type = dtype::f32) {
    return dense(*quick.allocate(4 * r * c), type, r, c);
  };
  router op;
  op.x = floats(tokens, cols);
  op.w = {*quick.allocate(quick.weight_bytes(dtype::f32, experts, cols, 1)),
          dtype::f32, experts, cols, 1};
  op.top_k = top_k;
  op.logits = floats(tokens, experts);
  op.experts = floats(tokens, top_k, dtype::i32);
  op.weights = floats(tokens, top_k);
  std::array<int32_t, tokens * top_k> chosen;
  auto s = quick.make_stream();
  s->enqueue(op);
  s->enqueue(copy_out{op.experts.mem,
                      reinterpret_cast<std::byte*>(chosen.data()), nullptr});
  w.run_for(10s);
  std::set<int32_t> used;
  for (uint32_t t = 0; t < tokens; ++t) {
    auto first = chosen.begin() + t * top_k;
    std::set<int32_t> mine(first, first + top_k);
    EXPECT_EQ(mine.size(), top_k) << "distinct";
    EXPECT_GE(*mine.begin(), 0);
    EXPECT_LT(*mine.rbegin(), int32_t(experts));
    used.merge(mine);
  }
  EXPECT_EQ(used.size(), experts);
  auto draw_at = [&](uint64_t point, uint32_t row) {
    sample draw{
      floats(2, 50), {{row, 40, 1, 1, 0, point}}, floats(1, 1, dtype::i32)};
    imagine(draw, w.now().time_since_epoch().count());
    return *host::row<int32_t>(draw.ids, 0);
  };
  EXPECT_EQ(draw_at(5, 0), draw_at(5, 1)) << "of its draw alone";
  EXPECT_NE(draw_at(5, 0), draw_at(6, 0));
  EXPECT_LT(draw_at(7, 0), 40);
}
