#pragma once

/// See grid.hpp: the words of kernels on a GPU.

#include <bit>
#include <cstdint>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <type_traits>

#define GPU __device__ __forceinline__
#define GPU_UNROLL _Pragma("unroll")

namespace troupe::kernels::cuda {

struct block_place {
  uint32_t x, y, z;
};

GPU uint32_t thread_index() {
  return threadIdx.x;
}

GPU uint32_t lane_index() {
  return threadIdx.x % 32;
}

GPU uint32_t warp_index() {
  return threadIdx.x / 32;
}

GPU block_place block_index() {
  return {blockIdx.x, blockIdx.y, blockIdx.z};
}

GPU void sync_block() {
  __syncthreads();
}

GPU void sync_warp() {
  __syncwarp();
}

template <class T>
GPU T shuffle_xor(T x, uint32_t mask) {
  return __shfl_xor_sync(~0u, x, int(mask));
}

template <class T>
GPU T shuffle(T x, uint32_t lane) {
  return __shfl_sync(~0u, x, int(lane));
}

/// Bit i: what lane i says.
GPU uint32_t ballot(bool x) {
  return __ballot_sync(~0u, x);
}

/// What a host checks.
GPU void expect(bool) {
}

/// Sixteen bytes that are moved in one go.
struct alignas(16) bytes16 {
  uint32_t word[4];
};

struct alignas(8) bytes8 {
  uint32_t word[2];
};

/// Elements of global memory.
template <class T>
struct global {
  T* data;

  /// `count` is what a host checks.
  GPU static global at(T* data, uint64_t /*count*/) {
    return {data};
  }

  GPU T get(uint64_t i) const {
    return data[i];
  }

  GPU void set(uint64_t i, T x) const {
    data[i] = x;
  }

  /// Reads a piece of elements from `i` on; it is aligned to its size.
  template <class Piece>
  GPU Piece get_piece(uint64_t i) const {
    return *reinterpret_cast<const Piece*>(data + i);
  }

  template <class Piece>
  GPU void set_piece(uint64_t i, const Piece& x) const {
    *reinterpret_cast<Piece*>(data + i) = x;
  }
};

/// Elements of shared memory.
template <class T>
struct shared : global<T> {
  /// Adds atomically; whole numbers alone, whose sum has no order.
  GPU void add(uint32_t i, T x) const {
    static_assert(!std::is_floating_point_v<T>);
    if constexpr (sizeof(T) == 8)
      atomicAdd(reinterpret_cast<unsigned long long*>(this->data + i),
                static_cast<unsigned long long>(x));
    else
      atomicAdd(this->data + i, x);
  }
};

extern __shared__ __align__(16) unsigned char shared_memory_of_launch[];

/// `offset` bytes into what the launch gives.
template <class T>
GPU shared<T> dynamic_shared(uint32_t offset, uint32_t /*count*/) {
  return {{reinterpret_cast<T*>(shared_memory_of_launch + offset)}};
}

#define STATIC_SHARED(type, name, count)                                       \
  __shared__ type name##_memory[count];                                        \
  ::troupe::kernels::cuda::shared<type> name {                                 \
    { name##_memory }                                                          \
  }

/// d += a b for a of 16 x 16 and b of 16 x 8, BF16 in pairs.
GPU void mma_bf16(float (&d)[4], const uint32_t (&a)[4],
                  const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]),
                 "r"(b[1]));
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
/// d += a b for a of 16 x 32 and b of 32 x 8, E4M3 in fours.
GPU void mma_e4m3(float (&d)[4], const uint32_t (&a)[4],
                  const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]),
                 "r"(b[1]));
}
#endif

/// Two codes of E4M3 as two BF16: exact.
GPU uint32_t bf16_of_e4m3(uint32_t two_codes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  uint32_t halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(uint16_t(two_codes)));
  auto low = __half2float(__ushort_as_half(uint16_t(halves)));
  auto high = __half2float(__ushort_as_half(uint16_t(halves >> 16)));
  return __float_as_uint(low) >> 16 | (__float_as_uint(high) & 0xffff0000);
#else
  uint32_t out = 0;
  for (int i = 0; i < 2; ++i) {
    auto code = two_codes >> 8 * i & 0xff;
    // As the same bits further up, times 2^120: subnormal numbers too.
    auto bits = (code & 0x80) << 24 | (code & 0x7f) << 20;
    auto x = __uint_as_float(bits) * 0x1p120f;
    auto value = (code & 0x7f) == 0x7f ? 0x7fc00000u : __float_as_uint(x);
    out |= value >> 16 << 16 * i;
  }
  return out;
#endif
}

} // namespace troupe::kernels::cuda
