#include "kernels/host/host_memory.hpp"

#include <gtest/gtest.h>

using namespace troupe::kernels;

TEST(HostHeap, GivesAlignedZeroedMemoryOfEverySize) {
  host::heap heap{7};
  for (uint64_t bytes : {1ull, 63ull, 64ull, 65ull, 4097ull, 3ull << 20}) {
    auto mem = heap.allocate(bytes);
    ASSERT_TRUE(mem);
    EXPECT_EQ(mem->device, 7u);
    EXPECT_EQ(mem->bytes, bytes);
    EXPECT_EQ(mem->offset % host::alignment, 0u);
    auto data = host::address_of(*mem);
    for (uint64_t i = 0; i < bytes; ++i)
      ASSERT_EQ(data[i], std::byte{0});
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
}

TEST(HostMemory, IsAlignedAndOutlivesTheDevice) {
  auto mem = host::allocate_host(1000);
  ASSERT_NE(mem, nullptr);
  EXPECT_EQ(mem->size(), 1000u);
  EXPECT_EQ(reinterpret_cast<uint64_t>(mem->data()) % host::alignment, 0u);
  EXPECT_EQ(mem->data()[999], std::byte{0});
}
