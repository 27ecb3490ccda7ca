/// The FP8 linear layer alone, as PyTorch computes it: codes and scales
/// exactly, products closely.

#include "runtime/checkpoint/safetensors.hpp"
#include "tests/model_files.hpp"
#include "tests/unit/kernels/device_fixture.hpp"

namespace troupe {
namespace {

using namespace kernels;
using namespace kernels::test;

class Fp8Linear : public on_every_device {
protected:
  void SetUp() override {
    auto path = source_dir() / "tests/data/golden/fp8-linear.safetensors";
    auto file = safetensors_file::open(path);
    ASSERT_TRUE(file);
    file_.emplace(std::move(*file));
  }

  const tensor_view& raw(int number, const char* name) {
    auto view = file_->find("c" + std::to_string(number) + "." + name);
    EXPECT_NE(view, nullptr) << number << name;
    return *view;
  }

  /// Returns values, not scaled.
  matrix read(int number, const char* name) {
    auto& view = raw(number, name);
    return {uint32_t(view.shape[0]), uint32_t(view.shape[1]),
            *to_floats(name, view)};
  }

  weight put_weight(int number) {
    auto& values = raw(number, "weight");
    return bench.put_weight({dtype::f8_e4m3,
                             uint32_t(values.shape[0]),
                             uint32_t(values.shape[1]),
                             1,
                             {values.bytes.begin(), values.bytes.end()},
                             read(number, "weight_scale_inv").values});
  }

  matrix multiply(const activation& x, const weight& w) {
    auto out = bench.make(dtype::f32, x.values.rows, w.rows);
    bench.run(linear{x, w, {}, out});
    return bench.get(out);
  }

  std::optional<safetensors_file> file_;
};

TROUPE_ON_EVERY_DEVICE(Fp8Linear);

constexpr int num_cases = 5;

TEST_P(Fp8Linear, QuantisesToTheSameCodesAndScales) {
  for (int i = 0; i < num_cases; ++i) {
    auto x = read(i, "x");
    auto out = bench.make_operand(dtype::f8_e4m3, x.rows, x.cols);
    bench.run(quantize{bench.put(x), out});
    EXPECT_TRUE(same_bits(bench.get(out.scales), read(i, "scales"))) << i;
    auto& codes = raw(i, "codes").bytes;
    EXPECT_EQ(bench.get_bytes(out.values.mem),
              std::vector<std::byte>(codes.begin(), codes.end()))
      << i;
  }
}

TEST_P(Fp8Linear, MultipliesQuantisedRows) {
  for (int i = 0; i < num_cases; ++i) {
    auto x = bench.put_operand(read(i, "x"), dtype::f8_e4m3);
    auto y = multiply(x, put_weight(i));
    EXPECT_LE(relative_error(y, read(i, "y")), 2e-6) << i;
  }
}

TEST_P(Fp8Linear, MultipliesPlainRows) {
  for (int i = 0; i < num_cases; ++i)
    for (auto type : {dtype::f32, dtype::bf16}) {
      auto x = bench.put_operand(read(i, "x"), type);
      auto y = multiply(x, put_weight(i));
      EXPECT_LE(relative_error(y, read(i, "y_plain")), 2e-6) << i;
    }
}

} // namespace
} // namespace troupe
