#pragma once

/// Tests that every device has to pass: its outputs are compared with those of
/// the reference.

#include "tests/unit/kernels/kernel_fixture.hpp"

#include <algorithm>

namespace troupe::kernels::test {

/// Two benches, the device's and the reference's. `compute` of a test puts its
/// data on a bench, runs operations there and returns what came out.
class on_every_device : public testing::TestWithParam<std::string> {
protected:
  template <class Compute>
  void expect_close(Compute compute, double bound) {
    EXPECT_LE(relative_error(compute(bench), compute(reference)), bound);
  }

  template <class Compute>
  void expect_same_bits(Compute compute) {
    EXPECT_TRUE(same_bits(compute(bench), compute(reference)));
  }

  workbench bench{make_device(GetParam())};
  workbench reference{make_reference_device(9)};
};

inline std::string test_name(const testing::TestParamInfo<std::string>& info) {
  auto name = info.param;
  for (auto& c : name)
    c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

} // namespace troupe::kernels::test

#define TROUPE_ON_EVERY_DEVICE(suite)                                          \
  INSTANTIATE_TEST_SUITE_P(                                                    \
    Devices, suite, testing::ValuesIn(troupe::kernels::test::device_names()),  \
    troupe::kernels::test::test_name)
