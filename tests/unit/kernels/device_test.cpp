// Memory and streams of every device.

#include "tests/unit/kernels/device_fixture.hpp"

#include <future>
#include <mutex>

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

class Device : public on_every_device {};

TROUPE_ON_EVERY_DEVICE(Device);

TEST_P(Device, GivesAlignedZeroedMemoryOfItsOwn) {
  auto& dev = bench.dev();
  for (uint64_t bytes : {1, 100, 1 << 20}) {
    auto mem = dev.allocate(bytes);
    ASSERT_TRUE(mem);
    EXPECT_EQ(mem->device, dev.id());
    EXPECT_EQ(mem->bytes, bytes);
    EXPECT_EQ(mem->offset % 64, 0u);
    EXPECT_EQ(bench.get_bytes(*mem), std::vector<std::byte>(bytes));
    dev.free(*mem);
  }
}

TEST_P(Device, RefusesMemoryThatItDoesNotHave) {
  EXPECT_FALSE(bench.dev().allocate(1ull << 60));
  EXPECT_EQ(bench.dev().allocate_host(1ull << 60), nullptr);
}

TEST_P(Device, GivesAlignedHostMemory) {
  auto mem = bench.dev().allocate_host(1000);
  ASSERT_NE(mem, nullptr);
  EXPECT_EQ(mem->size(), 1000u);
  EXPECT_EQ(reinterpret_cast<uint64_t>(mem->data()) % 64, 0u);
}

TEST_P(Device, SaysHowMuchAWeightTakes) {
  auto& dev = bench.dev();
  for (auto type : {dtype::f32, dtype::bf16, dtype::f8_e4m3})
    EXPECT_GE(dev.weight_bytes(type, 130, 257, 3),
              3ull * 130 * 257 * size_of(type));
}

TEST_P(Device, RunsAStreamInItsOrder) {
  auto cell = bench.claim(8);
  uint64_t seen[200];
  uint64_t values[200];
  auto& s = bench.default_stream();
  for (uint64_t i = 0; i < 200; ++i) {
    values[i] = i;
    s.enqueue(copy_in{reinterpret_cast<std::byte*>(values + i), cell, {}});
    s.enqueue(copy_out{cell, reinterpret_cast<std::byte*>(seen + i), {}});
  }
  EXPECT_TRUE(synchronize(s));
  for (uint64_t i = 0; i < 200; ++i)
    EXPECT_EQ(seen[i], i);
}

TEST_P(Device, OrdersStreamsByEventsAlone) {
  auto cell = bench.claim(8);
  auto a = bench.dev().make_stream();
  auto b = bench.dev().make_stream();
  uint64_t values[50], seen[50];
  for (uint64_t i = 0; i < 50; ++i) {
    values[i] = i;
    a->enqueue(copy_in{reinterpret_cast<std::byte*>(values + i), cell, {}});
    b->wait(a->record());
    b->enqueue(copy_out{cell, reinterpret_cast<std::byte*>(seen + i), {}});
    a->wait(b->record());
  }
  EXPECT_TRUE(synchronize(*a));
  EXPECT_TRUE(synchronize(*b));
  for (uint64_t i = 0; i < 50; ++i)
    EXPECT_EQ(seen[i], i);
}

TEST_P(Device, NotifiesInOrderOnceTheWorkHasEnded) {
  auto& s = bench.default_stream();
  auto cell = bench.claim(8);
  uint64_t one = 1, seen = 0;
  std::vector<int> log; // by one thread at a time
  s.enqueue(copy_in{reinterpret_cast<std::byte*>(&one), cell, {}});
  s.enqueue(copy_out{cell, reinterpret_cast<std::byte*>(&seen), {}});
  s.notify([&](const stream_status& status) {
    log.push_back(status && seen == 1 ? 1 : -1);
  });
  s.notify([&](const stream_status&) { log.push_back(2); });
  EXPECT_TRUE(synchronize(s));
  EXPECT_EQ(log, (std::vector<int>{1, 2}));
}

TEST_P(Device, AStreamThatEndsFinishesItsWork) {
  auto cell = bench.claim(8);
  uint64_t one = 1, seen = 0;
  auto s = bench.dev().make_stream();
  s->enqueue(copy_in{reinterpret_cast<std::byte*>(&one), cell, {}});
  s->enqueue(copy_out{cell, reinterpret_cast<std::byte*>(&seen), {}});
  s.reset();
  EXPECT_EQ(seen, 1u);
}

TEST_P(Device, LetsGoOfMemoryThatACopyKeepsAlive) {
  auto data = std::make_shared<std::vector<std::byte>>(8);
  auto watch = std::weak_ptr{data};
  auto src = data->data();
  bench.default_stream().enqueue(copy_in{src, bench.claim(8), std::move(data)});
  bool gone = false;
  bench.default_stream().notify(
    [&](const stream_status&) { gone = watch.expired(); });
  synchronize(bench.default_stream());
  EXPECT_TRUE(gone);
}

TEST_P(Device, StreamsFedByManyThreadsDoNotDisturbEachOther) {
  auto x = random_matrix(20, 257, 1);
  auto raw = random_weight(dtype::bf16, 40, 257, 1, 2);
  auto w = bench.put_weight(raw);
  auto in = bench.put_operand(x, dtype::bf16);
  std::vector<tensor> outs;
  for (int i = 0; i < 4; ++i)
    outs.push_back(bench.make(dtype::f32, 20, 40));
  std::vector<std::thread> threads;
  for (auto& out : outs)
    threads.emplace_back([&] {
      auto s = bench.dev().make_stream();
      for (int i = 0; i < 20; ++i)
        s->enqueue(linear{in, w, {}, out});
      EXPECT_TRUE(synchronize(*s));
    });
  for (auto& t : threads)
    t.join();
  for (auto& out : outs)
    EXPECT_TRUE(same_bits(bench.get(out), bench.get(outs[0])));
}

} // namespace
