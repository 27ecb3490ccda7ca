#include "runtime/cluster/expert_loader.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

/// A machine that has so much memory free.
memory_room room_of_bytes(uint64_t bytes) {
  auto root = scratch_dir();
  std::filesystem::create_directories(root / "proc");
  write_text(root / "proc/meminfo",
             "MemAvailable: " + std::to_string(bytes / 1024) + " kB\n");
  return memory_room{false, root};
}

} // namespace

TEST(ExpertLoader, NeedsRoomForAllAndForOneThatIsReadTwice) {
  auto model = *shared_model::open(
    golden_case("v3-fp8"),
    kernels::make_inline_device(0, kernels::make_reference_executor()));
  std::vector<expert_order> orders;
  for (uint16_t e : {0, 1, 2, 3})
    orders.push_back({{0, e, e}, {}});
  expert_lists one(model->config().num_moe_layers());
  one[0] = {0};
  auto bytes = expert_weight_bytes(model->source(), model->config(), one);
  auto load = [&](uint64_t free) {
    return load_experts(*model, precision::fp8, orders, room_of_bytes(free),
                        {});
  };
  auto all = load(5 * bytes + 1024);
  ASSERT_TRUE(all) << all.why().message;
  EXPECT_EQ(all->size(), 4u);
  auto none = load(5 * bytes - 1024);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.why().code, errc::out_of_memory);
}

TEST(ExpertLoader, StopsWhenItIsToldTo) {
  auto model = *shared_model::open(
    golden_case("v3-fp8"),
    kernels::make_inline_device(0, kernels::make_reference_executor()));
  std::stop_source no_more;
  no_more.request_stop();
  expert_order order{{0, 0, 0}, {}};
  auto none = load_experts(*model, precision::fp8, {&order, 1},
                           memory_room{true}, no_more.get_token());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.why().code, errc::cancelled);
}
