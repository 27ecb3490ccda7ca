#pragma once

/// What mma.sync does with the registers of a warp, by the tables of the PTX
/// manual (Matrix fragments for mma.m16n8k16 and mma.m16n8k32): with
/// g = lane / 4 and t = lane % 4, register r of A holds row g + 8 (r % 2),
/// columns from 2 (or 4) t + 8 (or 16) (r / 2) on; register r of B holds column
/// g, rows from 2 (or 4) t + 8 (or 16) r on; d[i] is row g + 8 (i / 2), column
/// 2 t + i % 2.
///
/// Sums are made in FP32, K ascending. A GPU sums in another order and width,
/// which no test here sees.

#include "kernels/host/floats.hpp"
#include "tests/cuda_on_host/machine.hpp"

namespace troupe::kernels::on_host {

struct bf16_fragments {
  static constexpr uint32_t k = 16;
  static constexpr uint32_t per_register = 2;
  static constexpr const char* name = "a product of 16 x 8 x 16";

  static float value(uint32_t word, uint32_t i) {
    return host::from_bf16(uint16_t(word >> 16 * i));
  }
};

struct e4m3_fragments {
  static constexpr uint32_t k = 32;
  static constexpr uint32_t per_register = 4;
  static constexpr const char* name = "a product of 16 x 8 x 32";

  static float value(uint32_t word, uint32_t i) {
    return host::from_e4m3(uint8_t(word >> 8 * i));
  }
};

template <class Format>
void multiply_fragments(float (&d)[4], const uint32_t (&a)[4],
                        const uint32_t (&b)[2]) {
  struct given {
    uint32_t a[4], b[2];
    float d[4];
  };
  struct result {
    float d[4];
  };
  given mine;
  std::memcpy(mine.a, a, sizeof a);
  std::memcpy(mine.b, b, sizeof b);
  std::memcpy(mine.d, d, sizeof d);
  constexpr auto n = Format::per_register;
  auto work = [](const given* all, result* results) {
    float left[16][Format::k], right[Format::k][8];
    for (uint32_t lane = 0; lane < 32; ++lane)
      for (uint32_t i = 0; i < n; ++i) {
        auto g = lane / 4;
        auto t = lane % 4;
        for (uint32_t r = 0; r < 4; ++r)
          left[g + 8 * (r % 2)][n * t + i + 4 * n * (r / 2)]
            = Format::value(all[lane].a[r], i);
        for (uint32_t r = 0; r < 2; ++r)
          right[n * t + i + 4 * n * r][g] = Format::value(all[lane].b[r], i);
      }
    float out[16][8];
    for (uint32_t lane = 0; lane < 32; ++lane)
      for (uint32_t i = 0; i < 4; ++i)
        out[lane / 4 + 8 * (i / 2)][lane % 4 * 2 + i % 2] = all[lane].d[i];
    for (uint32_t m = 0; m < 16; ++m)
      for (uint32_t k = 0; k < Format::k; ++k)
        for (uint32_t c = 0; c < 8; ++c)
          out[m][c] += left[m][k] * right[k][c];
    for (uint32_t lane = 0; lane < 32; ++lane)
      for (uint32_t i = 0; i < 4; ++i)
        results[lane].d[i] = out[lane / 4 + 8 * (i / 2)][lane % 4 * 2 + i % 2];
  };
  auto out = machine::here().exchange<given, result>(Format::name, mine, work);
  std::memcpy(d, out.d, sizeof d);
}

} // namespace troupe::kernels::on_host
