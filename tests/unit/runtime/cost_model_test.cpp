#include "runtime/cost/cost_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>

using namespace troupe;

namespace {

step_load decode(double rows, double context) {
  step_load out;
  out.absorbed = {rows, rows * context, rows * context};
  return out;
}

step_load prompt(double rows, double first) {
  step_load out;
  out.multi_head = {rows, rows * first + rows * (rows + 1) / 2, first + rows};
  return out;
}

/// A machine: what each stage of it takes.
double truth(const step_load& x) {
  return 2e-5 + 1e-6 * x.rows() + 3e-9 * x.absorbed.pairs
         + 1e-9 * x.multi_head.pairs;
}

TEST(CostModel, FindsTheParametersOfAMachine) {
  cost_model x;
  for (double rows : {1, 2, 5, 16, 40})
    for (double context : {1, 100, 3000})
      x.see(stage::attention, decode(rows, context),
            truth(decode(rows, context)));
  for (double rows : {130, 256, 500})
    for (double first : {0, 1000})
      x.see(stage::attention, prompt(rows, first), truth(prompt(rows, first)));
  auto other = decode(9, 777);
  EXPECT_NEAR(x.seconds(stage::attention, other), truth(other), 1e-9);
  other = prompt(300, 200);
  EXPECT_NEAR(x.seconds(stage::attention, other), truth(other), 1e-8);
  auto all = x.parameters();
  auto pair = std::ranges::find(all, "multi-head pair",
                                &cost_model::parameter::per);
  ASSERT_NE(pair, all.end());
  EXPECT_EQ(pair->of, "attention");
  EXPECT_NEAR(pair->seconds, 1e-9, 1e-12);
}

TEST(CostModel, TellsRowsOfExpertsFromSlots) {
  cost_model x;
  auto take = [](double pairs, double slots) {
    return 1e-5 + 2e-6 * pairs + 7e-6 * slots;
  };
  for (double pairs : {1, 8, 30, 200})
    for (double slots : {1, 4, 8})
      x.see_run({pairs, slots}, take(pairs, slots));
  EXPECT_NEAR(x.run_seconds({100, 6}), take(100, 6), 1e-8);
}

TEST(CostModel, TellsLatencyFromRate) {
  cost_model x;
  for (double bytes : {100, 5000, 1000000})
    x.see_frame(bytes, 20e-6 + bytes / 1e10);
  EXPECT_NEAR(x.frame_seconds(2e6), 220e-6, 1e-9);
}

TEST(CostModel, FindsTheRatesOfADevice) {
  device_rates of;
  of.set_flops(2e12);
  of.attention_flops = 5e11;
  of.bytes_per_second = of.copied_per_second = 4e10;
  of.per_kernel = 3e-6;
  cost_model x;
  for (double rows : {1, 8, 200}) {
    kernel_list products = {{kernel_family::products, rows * 2e8, 1e6 + rows},
                            {kernel_family::other, 0, rows * 1e4}};
    kernel_list alone = {{kernel_family::other, 0, rows * 4e3}};
    // So few bytes that the longer part is the sum.
    kernel_list attention = {{kernel_family::core_attention, rows * 1e9, 0}};
    for (auto& all : {products, alone, attention}) {
      double sum = 0;
      for (auto& kernel : all)
        sum += seconds(kernel, of);
      x.see_kernels(all, sum);
    }
  }
  auto found = x.rates();
  EXPECT_NEAR(found.wide_flops / of.wide_flops, 1, 1e-6);
  EXPECT_NEAR(found.narrow_flops / of.narrow_flops, 1, 1e-6);
  EXPECT_NEAR(found.attention_flops / of.attention_flops, 1, 1e-6);
  EXPECT_NEAR(found.bytes_per_second / of.bytes_per_second, 1, 1e-6);
  EXPECT_NEAR(found.copied_per_second / of.copied_per_second, 1, 1e-6);
  EXPECT_NEAR(found.per_kernel / of.per_kernel, 1, 1e-6);
  kernel_work other{kernel_family::products, 7e9, 3e6, true};
  EXPECT_NEAR(x.seconds(other), seconds(other, of), 1e-9);
}

TEST(CostModel, KnowsAMachineThatIsGiven) {
  device_rates of;
  of.per_kernel = 5e-6;
  cost_model x{of};
  kernel_work copy{.copied = 50e9};
  EXPECT_EQ(x.seconds(copy), seconds(copy, of));
  EXPECT_EQ(x.seconds(copy), 1 + 5e-6);
  x.see_kernels({copy}, 7);
  EXPECT_EQ(x.rates().per_kernel, 5e-6) << "whatever is seen";
}

TEST(CostModel, SaysNothingOfWhatItHasNotSeen) {
  cost_model x;
  EXPECT_TRUE(x.parameters().empty());
  EXPECT_EQ(x.seconds(stage::head, decode(1, 1)), 0);
}

} // namespace
