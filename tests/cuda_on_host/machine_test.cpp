// The host that kernels of CUDA are tested on finds what is wrong with them.

#include "tests/cuda_on_host/grid.hpp"

#include <gtest/gtest.h>

using namespace troupe::kernels;
using namespace troupe::kernels::cuda;

namespace {

using on_host::launch_shape;
using on_host::machine;
using on_host::order;

template <class Thread>
std::string launch(const launch_shape& shape, Thread thread) {
  return machine::here().launch(shape, thread);
}

class Machine : public testing::Test {
protected:
  Machine() {
    machine::here().set_order(order::ascending);
  }

  ~Machine() override {
    machine::here().set_order(order::ascending);
  }

  template <class Thread>
  void expect_fault(const launch_shape& shape, Thread thread,
                    const std::string& words) {
    for (auto how : {order::ascending, order::descending, order::shuffled}) {
      machine::here().set_order(how, 7);
      auto fault = launch(shape, thread);
      EXPECT_NE(fault.find(words), fault.npos) << "found: " << fault;
    }
  }

  template <class Thread>
  void expect_none(const launch_shape& shape, Thread thread) {
    for (auto how : {order::ascending, order::descending, order::shuffled}) {
      machine::here().set_order(how, 7);
      EXPECT_EQ(launch(shape, thread), "");
    }
  }

  template <class T>
  global<T> view(std::vector<T>& mem) {
    return global<T>::at(mem.data(), mem.size());
  }
};

/// Turns 64 numbers around by way of shared memory.
void reverse(const global<int>& data, bool has_barrier) {
  STATIC_SHARED(int, mem, 64);
  auto i = thread_index();
  mem.set(i, data.get(i));
  if (has_barrier)
    sync_block();
  data.set(i, mem.get(63 - i));
}

TEST_F(Machine, RunsEveryThreadOfEveryBlockOnce) {
  std::vector<int> seen(2 * 3 * 4 * 64);
  auto out = view(seen);
  expect_none({2, 3, 4, 64, 0}, [&] {
    auto [x, y, z] = block_index();
    auto i = ((z * 3 + y) * 2 + x) * 64 + thread_index();
    out.set(i, out.get(i) + 1);
  });
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 3)); // in three orders
}

TEST_F(Machine, BarriersOrderWhatThreadsWrite) {
  std::vector<int> data(64);
  for (int i = 0; i < 64; ++i)
    data[i] = i;
  EXPECT_EQ(launch({1, 1, 1, 64, 0}, [&] { reverse(view(data), true); }), "");
  for (int i = 0; i < 64; ++i)
    EXPECT_EQ(data[i], 63 - i);
}

TEST_F(Machine, FindsAMissingBarrier) {
  std::vector<int> data(64);
  expect_fault(
    {1, 1, 1, 64, 0}, [&] { reverse(view(data), false); }, "reads");
}

TEST_F(Machine, FindsABarrierOfTheWarpWhereTheBlocksIsNeeded) {
  expect_fault(
    {1, 1, 1, 64, 0},
    [] {
      STATIC_SHARED(int, mem, 64);
      mem.set(thread_index(), 1);
      sync_warp();
      mem.get((thread_index() + 32) % 64);
    },
    "reads");
  expect_none({1, 1, 1, 64, 0}, [] {
    STATIC_SHARED(int, mem, 64);
    mem.set(thread_index(), 1);
    sync_warp();
    mem.get(thread_index() ^ 5);
  });
}

TEST_F(Machine, FindsAWriteOverWhatOthersStillRead) {
  expect_fault(
    {1, 1, 1, 64, 0},
    [] {
      STATIC_SHARED(int, mem, 64);
      mem.set(thread_index(), 1);
      sync_block();
      mem.get((thread_index() + 1) % 64);
      mem.set(thread_index(), 2);
    },
    "no barrier in between");
}

TEST_F(Machine, AShuffleIsNoBarrierOfMemory) {
  expect_fault(
    {1, 1, 1, 32, 0},
    [] {
      STATIC_SHARED(int, mem, 32);
      mem.set(thread_index(), 1);
      shuffle_xor(1, 1);
      mem.get(thread_index() ^ 1);
    },
    "no barrier in between");
}

TEST_F(Machine, FindsASumThatDependsOnTheOrderOfBlocks) {
  std::vector<float> sum(1);
  expect_fault(
    {4, 1, 1, 32, 0},
    [&] {
      if (thread_index() == 0)
        view(sum).set(0, view(sum).get(0) + 0.1f * float(block_index().x));
    },
    "no barrier in between");
}

TEST_F(Machine, OrdersOfBlocksShowASumThatDependsOnThem) {
  // Tickets are whole numbers, which no race is seen in; what each gets is
  // another value with another order.
  auto total = [&](order how) {
    machine::here().set_order(how, 3);
    float sum = 0;
    EXPECT_EQ(launch({40, 1, 1, 32, 0},
                     [&] {
                       if (thread_index() == 0)
                         sum += block_index().x == 0 ? 0x1p24f : 1;
                     }),
              "");
    return sum;
  };
  EXPECT_NE(total(order::ascending), total(order::descending));
}

TEST_F(Machine, FindsAGridThatIsTooHigh) {
  auto nothing = [] {};
  EXPECT_EQ(launch({65536, 1, 1, 32, 0}, nothing), "");
  EXPECT_NE(launch({1, 65536, 1, 32, 0}, nothing), "");
  EXPECT_NE(launch({1, 1, 65536, 32, 0}, nothing), "");
}

TEST_F(Machine, FindsATailThatIsOutOfBounds) {
  std::vector<float> row(100);
  auto thread = [&](uint32_t end) {
    for (auto i = thread_index(); i < end; i += 32)
      view(row).set(i, 1);
  };
  expect_none({1, 1, 1, 32, 0}, [&] { thread(100); });
  expect_fault(
    {1, 1, 1, 32, 0}, [&] { thread(128); }, "of 100");
  expect_fault(
    {1, 1, 1, 32, 64}, [] { dynamic_shared<float>(0, 17); },
    "more shared memory than the launch gives");
}

TEST_F(Machine, FindsAPieceAtAnAddressThatIsNoMultipleOfIt) {
  std::vector<float> row(100);
  auto base = reinterpret_cast<uintptr_t>(row.data()) % 16 / 4;
  expect_fault(
    {1, 1, 1, 32, 0}, [&] { view(row).template get_piece<bytes16>(5 - base); },
    "no multiple");
}

TEST_F(Machine, FindsSharedMemoryThatNobodyHasWritten) {
  expect_fault(
    {2, 1, 1, 32, 0},
    [] {
      STATIC_SHARED(int, mem, 33);
      mem.set(thread_index(), 1);
      sync_block();
      mem.get(thread_index() + 1);
    },
    "nobody has written");
}

TEST_F(Machine, FindsABarrierThatSomeThreadsDoNotReach) {
  expect_fault(
    {1, 1, 1, 64, 0},
    [] {
      if (thread_index() != 40)
        sync_block();
    },
    "for ever");
  expect_fault(
    {1, 1, 1, 32, 0},
    [] {
      if (thread_index() < 31)
        ballot(true);
    },
    "for ever");
}

TEST_F(Machine, FindsAWarpWhoseThreadsAreAtDifferentExchanges) {
  expect_fault(
    {1, 1, 1, 32, 0},
    [] {
      if (thread_index() % 2)
        ballot(true);
      else
        shuffle_xor(1, 1);
    },
    "where other threads of the warp are");
}

TEST_F(Machine, ShufflesAndVotesAreThoseOfTheWarp) {
  expect_none({1, 1, 1, 64, 0}, [] {
    auto i = thread_index();
    EXPECT_EQ(shuffle(i, 3), i / 32 * 32 + 3);
    EXPECT_EQ(shuffle_xor(double(i), 8), double(i ^ 8));
    EXPECT_EQ(ballot(i % 32 == 5), 1u << 5);
  });
}

TEST_F(Machine, AtomicSumsAreNoRaceAmongThemselves) {
  std::vector<uint64_t> sum(1);
  expect_none({8, 1, 1, 64, 0}, [&] { view(sum).add(0, thread_index()); });
  EXPECT_EQ(sum[0], 3u * 8 * 63 * 32);
  expect_fault(
    {1, 1, 1, 64, 0},
    [&] {
      view(sum).add(0, 1);
      view(sum).get(0);
    },
    "no barrier in between");
}

// -- fragments ----------------------------------------------------------------

/// c = a b, a of 16 x k and b of k x 8 (columns below each other), with the
/// fragments that a kernel would load; `slip` is added to a column of a.
template <uint32_t k, class Value, class Multiply>
std::vector<float> multiplied(Value value, Multiply multiply, uint32_t slip) {
  std::vector<float> c(16 * 8);
  constexpr uint32_t n = k / 8; // values of a register
  auto fault = launch({1, 1, 1, 32, 0}, [&] {
    auto g = lane_index() / 4;
    auto t = lane_index() % 4;
    uint32_t a[4] = {}, b[2] = {};
    for (uint32_t i = 0; i < n; ++i) {
      for (uint32_t r = 0; r < 4; ++r)
        a[r] |= value(0, g + 8 * (r % 2), n * t + i + 4 * n * (r / 2) + slip)
                << 32 / n * i;
      for (uint32_t r = 0; r < 2; ++r)
        b[r] |= value(1, g, n * t + i + 4 * n * r) << 32 / n * i;
    }
    float d[4] = {};
    multiply(d, a, b);
    auto out = global<float>::at(c.data(), c.size());
    for (uint32_t i = 0; i < 4; ++i)
      out.set((g + 8 * (i / 2)) * 8 + 2 * t + i % 2, d[i]);
  });
  EXPECT_EQ(fault, "");
  return c;
}

/// A number for each element, in whole steps, so that sums are exact.
float element(uint32_t which, uint32_t row, uint32_t col) {
  return float(int(row * 7 + col * 3 + which) % 9 - 4);
}

template <uint32_t k>
std::vector<float> expected() {
  std::vector<float> c(16 * 8);
  for (uint32_t m = 0; m < 16; ++m)
    for (uint32_t i = 0; i < k; ++i)
      for (uint32_t n = 0; n < 8; ++n)
        c[m * 8 + n] += element(0, m, i) * element(1, n, i);
  return c;
}

TEST_F(Machine, MultipliesFragmentsAsTheManualHasThem) {
  auto half = [](uint32_t which, uint32_t row, uint32_t col) {
    return uint32_t{host::to_bf16(element(which, row, col))};
  };
  auto code = [](uint32_t which, uint32_t row, uint32_t col) {
    return uint32_t{host::to_e4m3(element(which, row, col))};
  };
  EXPECT_EQ(multiplied<16>(half, mma_bf16, 0), expected<16>());
  EXPECT_EQ(multiplied<32>(code, mma_e4m3, 0), expected<32>());
  // A column beside the right one is found.
  EXPECT_NE(multiplied<16>(half, mma_bf16, 1), expected<16>());
  EXPECT_NE(multiplied<32>(code, mma_e4m3, 1), expected<32>());
}

} // namespace
