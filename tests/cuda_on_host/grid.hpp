#pragma once

/// See kernels/cuda/grid.hpp: the words of kernels on the host, where every
/// access is looked at.

#define TROUPE_GRID
#define GPU inline
#define GPU_UNROLL

#include "kernels/host/floats.hpp"
#include "tests/cuda_on_host/fragments.hpp"
#include "tests/cuda_on_host/machine.hpp"

#include <algorithm>
#include <type_traits>

namespace troupe::kernels::cuda {

using on_host::block_place;

inline on_host::machine& host() {
  return on_host::machine::here();
}

inline uint32_t thread_index() {
  return host().thread_index();
}

inline uint32_t lane_index() {
  return thread_index() % on_host::machine::warp_size;
}

inline uint32_t warp_index() {
  return thread_index() / on_host::machine::warp_size;
}

inline block_place block_index() {
  return host().block_index();
}

inline void sync_block() {
  host().sync_block();
}

inline void sync_warp() {
  host().sync_warp();
}

template <class T>
T shuffle(T x, uint32_t lane) {
  struct given {
    T x;
    uint32_t lane;
  };
  return host().exchange<given, T>("a shuffle", {x, lane},
                                   [](const given* all, T* results) {
                                     for (uint32_t i = 0; i < 32; ++i)
                                       results[i] = all[all[i].lane % 32].x;
                                   });
}

template <class T>
T shuffle_xor(T x, uint32_t mask) {
  return shuffle(x, lane_index() ^ mask);
}

inline uint32_t ballot(bool x) {
  return host().exchange<bool, uint32_t>(
    "a vote", x, [](const bool* all, uint32_t* results) {
      uint32_t bits = 0;
      for (uint32_t i = 0; i < 32; ++i)
        bits |= uint32_t{all[i]} << i;
      std::fill_n(results, 32, bits);
    });
}

inline void expect(bool is_so) {
  if (!is_so)
    host().fail("reaches a row that is not there");
}

struct alignas(16) bytes16 {
  uint32_t word[4];
};

struct alignas(8) bytes8 {
  uint32_t word[2];
};

/// Elements of memory, with their number.
template <class T, bool is_shared>
struct checked {
  T* data;
  uint64_t count;

  T get(uint64_t i) const {
    reach(i, 1);
    host().on_read(data + i, sizeof(T), is_shared);
    return data[i];
  }

  void set(uint64_t i, T x) const {
    reach(i, 1);
    host().on_write(data + i, sizeof(T));
    data[i] = x;
  }

  template <class Piece>
  Piece get_piece(uint64_t i) const {
    reach_piece<Piece>(i);
    host().on_read(data + i, sizeof(Piece), is_shared);
    Piece out;
    std::memcpy(&out, data + i, sizeof(Piece));
    return out;
  }

  template <class Piece>
  void set_piece(uint64_t i, const Piece& x) const {
    reach_piece<Piece>(i);
    host().on_write(data + i, sizeof(Piece));
    std::memcpy(static_cast<void*>(data + i), &x, sizeof(Piece));
  }

  void add(uint64_t i, T x) const {
    static_assert(!std::is_floating_point_v<T>);
    reach(i, 1);
    host().on_add(data + i, sizeof(T));
    data[i] += x;
  }

private:
  void reach(uint64_t i, uint64_t n) const {
    if (i + n > count)
      host().fail("reaches element " + std::to_string(i + n - 1) + " of "
                  + std::to_string(count));
  }

  template <class Piece>
  void reach_piece(uint64_t i) const {
    reach(i, sizeof(Piece) / sizeof(T));
    if (reinterpret_cast<uintptr_t>(data + i) % sizeof(Piece) != 0)
      host().fail("moves " + std::to_string(sizeof(Piece))
                  + " bytes at an address that is no multiple of them");
  }
};

template <class T>
struct global : checked<T, false> {
  static global at(T* data, uint64_t count) {
    return {{data, count}};
  }
};

template <class T>
using shared = checked<T, true>;

template <class T>
shared<T> dynamic_shared(uint32_t offset, uint32_t count) {
  auto bytes = uint64_t{count} * sizeof(T);
  return {reinterpret_cast<T*>(host().dynamic_shared(offset, bytes)), count};
}

#define STATIC_SHARED(type, name, size)                                        \
  static const char name##_place = 0;                                          \
  ::troupe::kernels::cuda::shared<type> name {                                 \
    reinterpret_cast<type*>(::troupe::kernels::cuda::host().static_shared(     \
      &name##_place, (size) * sizeof(type))),                                  \
      size                                                                     \
  }

inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4],
                     const uint32_t (&b)[2]) {
  on_host::multiply_fragments<on_host::bf16_fragments>(d, a, b);
}

inline void mma_e4m3(float (&d)[4], const uint32_t (&a)[4],
                     const uint32_t (&b)[2]) {
  on_host::multiply_fragments<on_host::e4m3_fragments>(d, a, b);
}

inline uint32_t bf16_of_e4m3(uint32_t two_codes) {
  auto low = kernels::host::to_bf16(kernels::host::from_e4m3(two_codes & 0xff));
  auto high
    = kernels::host::to_bf16(kernels::host::from_e4m3(two_codes >> 8 & 0xff));
  return low | uint32_t{high} << 16;
}

} // namespace troupe::kernels::cuda
