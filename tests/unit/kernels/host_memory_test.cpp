#include "kernels/host/host_memory.hpp"

#include <gtest/gtest.h>

#include <array>

using namespace troupe::kernels;

TEST(HostHeap, GivesAlignedZeroedMemoryOfEverySize) {
  host::heap usual{7}, small{7, 4096};
  for (uint64_t i = 0; i < 12; ++i) {
    auto& heap = i % 2 == 0 ? usual : small;
    auto bytes
      = std::array{1ull, 63ull, 64ull, 65ull, 4097ull, 3ull << 20}[i / 2];
    auto mem = heap.allocate(bytes);
    ASSERT_TRUE(mem);
    EXPECT_EQ(mem->device, 7u);
    EXPECT_EQ(mem->bytes, bytes);
    EXPECT_EQ(mem->offset % host::alignment, 0u);
    auto data = host::address_of(*mem);
    for (uint64_t k = 0; k < bytes; ++k)
      ASSERT_EQ(data[k], std::byte{0});
    data[bytes - 1] = std::byte{1};
    heap.free(*mem);
  }
}

TEST(HostHeap, RefusesWhatDoesNotFit) {
  host::heap heap{0};
  EXPECT_FALSE(heap.allocate(1ull << 60));
  EXPECT_FALSE(heap.allocate(~0ull));
  EXPECT_EQ(host::allocate_host(1ull << 60), nullptr);
}

TEST(HostHeap, NothingIsAnEmptyBuffer) {
  host::heap heap{0};
  auto mem = heap.allocate(0);
  ASSERT_TRUE(mem);
  EXPECT_FALSE(*mem);
  heap.free(*mem);
}

TEST(HostHeapDeathTest, StopsWhenAPartIsFreed) {
  host::heap heap{0};
  auto mem = heap.allocate(128);
  EXPECT_DEATH(heap.free(mem->slice(64, 64)), "CHECK");
  EXPECT_DEATH(heap.free({1, mem->offset, 128}), "CHECK");
}

TEST(HostHeap, FreesAtItsEndWhatIsLeft) {
  host::heap heap{0};
  EXPECT_TRUE(heap.allocate(100)); // the leak checker would tell
  host::heap small{0, 64};
  EXPECT_TRUE(small.allocate(100));
}

TEST(HostMemory, IsAlignedAndOutlivesTheDevice) {
  auto mem = host::allocate_host(1000);
  ASSERT_NE(mem, nullptr);
  EXPECT_EQ(mem->size(), 1000u);
  EXPECT_EQ(reinterpret_cast<uint64_t>(mem->data()) % host::alignment, 0u);
  EXPECT_EQ(mem->data()[999], std::byte{0});
  auto mapped = host::allocate_host(5000, 4096);
  ASSERT_NE(mapped, nullptr);
  EXPECT_EQ(mapped->size(), 5000u);
  EXPECT_EQ(mapped->data()[4999], std::byte{0});
}
