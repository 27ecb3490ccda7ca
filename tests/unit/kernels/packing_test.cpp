// What a packed weight looks like, byte for byte.

#include "kernels/cpu/packing.hpp"
#include "tests/unit/kernels/kernel_fixture.hpp"

#include <array>

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

constexpr auto panel_rows = cpu::panel_rows;

/// Where value k of output n of a panel lies, in values.
uint64_t position(dtype type, uint32_t n, uint32_t k) {
  auto step = uint64_t{k / 2} * panel_rows * 2;
  if (type == dtype::f32)
    return uint64_t{k} * panel_rows + n;
  if (type == dtype::bf16)
    return step + n * 2 + k % 2;
  return step + cpu::f8_position(n, k % 2);
}

/// The definition, value by value.
std::vector<std::byte> packed(const raw_weight& w) {
  cpu::packed_shape shape{w.type, w.rows, w.cols};
  auto size = size_of(w.type);
  std::vector<std::byte> out(w.groups * shape.matrix_bytes());
  for (uint64_t g = 0; g < w.groups; ++g)
    for (uint64_t r = 0; r < w.rows; ++r) {
      auto panel = out.data() + g * shape.matrix_bytes()
                   + r / panel_rows * shape.panel_bytes();
      for (uint32_t k = 0; k < w.cols; ++k)
        std::memcpy(panel + position(w.type, r % panel_rows, k) * size,
                    w.values.data() + ((g * w.rows + r) * w.cols + k) * size,
                    size);
      auto tile = g * num_scale_blocks(w.rows) + r / scale_block;
      for (uint32_t b = 0; b < shape.blocks(); ++b)
        std::memcpy(panel + shape.values_bytes() + b * 4,
                    &w.scales[tile * shape.blocks() + b], 4);
    }
  return out;
}

/// Values of every bit pattern: packing may not look at them.
raw_weight any_bits(dtype type, uint32_t rows, uint32_t cols, uint32_t groups) {
  auto out = random_weight(type, rows, cols, groups, rows * 1000 + cols);
  numbers random{cols};
  for (auto& b : out.values)
    b = std::byte(random.next());
  return out;
}

/// Packed into memory full of ones, from an address of the worst alignment.
std::vector<std::byte> pack(const raw_weight& w) {
  cpu::packed_shape shape{w.type, w.rows, w.cols};
  workbench bench{make_device("cpu/portable")};
  auto bytes = w.groups * shape.matrix_bytes();
  std::vector<std::byte> ones(bytes, std::byte{0xff});
  std::vector<std::byte> shifted(1 + w.values.size());
  std::copy(w.values.begin(), w.values.end(), shifted.begin() + 1);
  weight dst{bench.put_bytes(ones.data(), bytes), w.type, w.rows, w.cols,
             w.groups};
  bench.run(pack_weight{shifted.data() + 1,
                        w.scales.empty() ? nullptr : w.scales.data(), dst,
                        nullptr});
  return bench.get_bytes(dst.data);
}

} // namespace

TEST(Packing, PutsEveryByteWhereTheDefinitionSays) {
  for (auto type : {dtype::f32, dtype::bf16, dtype::f8_e4m3})
    for (uint32_t rows : lengths({1, 31, 32, 33, 64, 129, 300}))
      for (uint32_t cols : lengths({1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 127,
                                    128, 130, 257, 448, 2048})) {
        SCOPED_TRACE(testing::Message()
                     << int(type) << ": " << rows << " x " << cols);
        auto w = any_bits(type, rows, cols, 1);
        EXPECT_EQ(pack(w), packed(w));
      }
}

TEST(Packing, PutsMatricesOfAStackOneAfterTheOther) {
  for (auto type : {dtype::f32, dtype::bf16, dtype::f8_e4m3}) {
    auto w = any_bits(type, 130, 200, 3);
    EXPECT_EQ(pack(w), packed(w));
  }
}

TEST(Packing, GivesTheSameBytesPartByPart) {
  for (auto& name : device_names())
    for (auto type : {dtype::f32, dtype::bf16, dtype::f8_e4m3}) {
      workbench bench{make_device(name)};
      auto w = any_bits(type, 300, 200, 2);
      auto whole = bench.put_weight(w);
      auto parts = whole;
      parts.data = bench.claim(whole.data.bytes);
      pack_weight op{w.values.data(),
                     w.scales.empty() ? nullptr : w.scales.data(), parts,
                     nullptr};
      for (auto [first, count] :
           {std::pair{256u, 44u}, {0u, 128u}, {128u, 128u}}) {
        op.first_row = first;
        op.num_rows = count;
        bench.run(op);
      }
      EXPECT_EQ(bench.get_bytes(parts.data), bench.get_bytes(whole.data))
        << name << ", " << int(type);
    }
}

TEST(Packing, MarksStepsWithACodeThatIsNoNormalNumber) {
  auto mark = cpu::make_kernel_set("best").mark_f8;
  if (!mark)
    return; // nobody on this machine asks for them
  constexpr uint32_t blocks = 3;
  constexpr uint32_t step = 2 * panel_rows;
  constexpr uint32_t steps = blocks * scale_block / 2;
  alignas(64) std::byte codes[steps * step];
  for (uint32_t i = 0; i < sizeof codes; ++i)
    codes[i] = std::byte(8 + i % 0x77 + i % 2 * 0x80);
  std::array<uint64_t, blocks> none, marks, expected{};
  mark(codes, blocks, none.data());
  EXPECT_EQ(none, expected);
  // Each of the 18 codes somewhere.
  uint32_t at = 0;
  for (uint32_t code = 0; code < 256; ++code) {
    auto magnitude = code & 0x7f;
    if (magnitude >= 8 && magnitude != host::e4m3_nan)
      continue;
    codes[at * step + at * 7 % step] = std::byte(code);
    expected[at / 64] |= uint64_t{1} << at % 64;
    at += 9;
  }
  mark(codes, blocks, marks.data());
  EXPECT_EQ(marks, expected);
}
