// Says what is wrong with the kernels that it was compiled with, and whether
// that is anything: kernels with a fault in them have to be found, and those
// that are right must not be (planted.cmake).

#include "tests/cuda_on_host/device.hpp"
#include "tests/unit/kernels/kernel_fixture.hpp"

#include <cmath>
#include <cstdio>

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

int num_found = 0;

void expect(bool is_right, const char* what, const std::string& why) {
  if (is_right)
    return;
  std::printf("%s: %s\n", what, why.c_str());
  ++num_found;
}

/// Runs `op` and returns what went wrong; empty: nothing.
std::string run(device& dev, const operation& op) {
  auto stream = dev.make_stream();
  stream->enqueue(op);
  return synchronize(*stream).failure;
}

/// Row 0 once more at the end, where another block has it.
matrix with_first_row_again(matrix x) {
  std::vector<uint32_t> rows(x.rows);
  for (uint32_t i = 0; i < x.rows; ++i)
    rows[i] = i;
  rows.back() = 0;
  return x.pick(rows);
}

matrix multiply(workbench& b, const matrix& x, const raw_weight& w,
                std::string& fault) {
  auto out = b.make(dtype::f32, x.rows, w.rows);
  fault
    = run(b.dev(),
          linear{b.put_operand(x, dtype::f8_e4m3), b.put_weight(w), {}, out});
  return b.get(out);
}

void look_at_products() {
  workbench bench{make_cuda_on_host(3)};
  workbench reference{make_reference_device(9)};
  auto x = with_first_row_again(random_matrix(70, 300, 1));
  auto w = random_weight(dtype::f8_e4m3, 70, 300, 1, 2, 1);
  std::string fault, none;
  auto got = multiply(bench, x, w, fault);
  expect(fault.empty(), "linear", fault);
  if (!fault.empty())
    return;
  auto error = relative_error(got, multiply(reference, x, w, none));
  expect(error < 2e-6 * std::sqrt(300.0), "linear",
         "is wrong by " + std::to_string(error));
  expect(same_bits(got.pick({0}), got.pick({69})), "linear",
         "a row's bits depend on its place");
}

void look_at_norms() {
  workbench bench{make_cuda_on_host(3)};
  auto x = bench.put(random_matrix(3, 300, 1));
  auto one = bench.put(random_matrix(1, 300, 2));
  auto fault = run(bench.dev(),
                   rms_norm{x, one, 1e-6f, bench.make(dtype::f32, 3, 300), {}});
  expect(fault.empty(), "rms_norm", fault);
}

} // namespace

int main() {
  look_at_products();
  look_at_norms();
  return num_found > 0 ? 0 : 1;
}
