#include "runtime/model/absorbed.hpp"

#include "kernels/host/floats.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe {
namespace {

constexpr absorbed_shape shapes[]
  = {{1, 1, 1, 1}, {3, 130, 24, 16}, {2, 96, 33, 65}, {4, 300, 128, 128}};

/// kv_b_proj with every code or BF16 pattern, and scales of its tiles.
struct example {
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  tensor_view view;
  uint32_t rows, cols;

  example(const absorbed_shape& s, tensor_type type)
    : rows(s.heads * (s.nope + s.v_head)), cols(s.latent) {
    bytes.resize(uint64_t{rows} * cols * size_of(type));
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = std::byte(i * 2654435761u >> 13);
    auto tiles = (rows + 127) / 128 * ((cols + 127) / 128);
    for (uint32_t i = 0; i < tiles; ++i)
      scales.push_back(0.01f * float(i + 1));
    view = {type, {rows, cols}, bytes};
  }

  float value(uint64_t row, uint64_t col) const {
    if (view.dtype == tensor_type::bf16) {
      auto at = bytes.data() + (row * cols + col) * 2;
      return kernels::host::from_bf16(
        static_cast<uint16_t>(uint32_t(at[0]) | uint32_t(at[1]) << 8));
    }
    auto code = static_cast<uint8_t>(bytes[row * cols + col]);
    return kernels::host::from_e4m3(code)
           * scales[row / 128 * ((cols + 127) / 128) + col / 128];
  }
};

void expect_same(float got, float want) {
  EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(want));
}

void expect_same(uint16_t got, float want) {
  EXPECT_EQ(got, kernels::host::to_bf16(want));
}

template <class T>
void expect_halves(const absorbed_shape& s, tensor_type type) {
  example x{s, type};
  auto got = absorb<T>(x.view, x.scales, s);
  ASSERT_EQ(got.k.size(), uint64_t{s.heads} * s.latent * s.nope);
  ASSERT_EQ(got.v.size(), uint64_t{s.heads} * s.v_head * s.latent);
  for (uint64_t h = 0; h < s.heads; ++h)
    for (uint64_t j = 0; j < s.latent; ++j) {
      auto first = h * (s.nope + s.v_head);
      for (uint64_t i = 0; i < s.nope; ++i)
        expect_same(got.k[(h * s.latent + j) * s.nope + i],
                    x.value(first + i, j));
      for (uint64_t i = 0; i < s.v_head; ++i)
        expect_same(got.v[(h * s.v_head + i) * s.latent + j],
                    x.value(first + s.nope + i, j));
    }
}

TEST(Absorbed, HalvesHoldEveryValueOnceAndKeysTransposed) {
  for (auto& shape : shapes)
    for (auto type : {tensor_type::f8_e4m3, tensor_type::bf16}) {
      expect_halves<float>(shape, type);
      expect_halves<uint16_t>(shape, type);
    }
}

} // namespace
} // namespace troupe
