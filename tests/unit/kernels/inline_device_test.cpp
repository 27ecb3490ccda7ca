#include "tests/unit/kernels/kernel_fixture.hpp"

#include <gtest/gtest.h>

#include <thread>

using namespace troupe::kernels;

namespace {

/// Says what it was given, and fails at an operation of its choice.
class counting_executor : public executor {
public:
  std::string_view target() const override {
    return "counting";
  }

  uint64_t weight_bytes(dtype, uint32_t, uint32_t, uint32_t) const override {
    return 64;
  }

  std::string run(const operation&) override {
    threads.push_back(std::this_thread::get_id());
    return threads.size() == fails_at ? "it broke" : "";
  }

  size_t fails_at = 0;
  std::vector<std::thread::id> threads;
};

class InlineDevice : public testing::Test {
protected:
  operation any_copy() {
    return copy_in{bytes_.data(), mem_, nullptr};
  }

  std::shared_ptr<counting_executor> how_
    = std::make_shared<counting_executor>();
  std::unique_ptr<device> dev_ = make_inline_device(7, how_);
  buffer mem_ = *dev_->allocate(64);
  std::vector<std::byte> bytes_ = std::vector<std::byte>(64);
};

TEST_F(InlineDevice, HasComputedOnThisThreadWhenEnqueueReturns) {
  auto s = dev_->make_stream();
  s->enqueue(any_copy());
  EXPECT_EQ(how_->threads, std::vector{std::this_thread::get_id()});
  auto was_told = false;
  s->notify([&](auto& status) { was_told = bool(status); });
  EXPECT_TRUE(was_told);
}

TEST_F(InlineDevice, SkipsWhatFollowsAFailureAndHandsItOnToWhoWaits) {
  how_->fails_at = 2;
  auto a = dev_->make_stream();
  auto b = dev_->make_stream();
  auto well = a->record();
  a->enqueue(any_copy());
  a->enqueue(any_copy());
  a->enqueue(any_copy());
  EXPECT_EQ(how_->threads.size(), 2u);
  EXPECT_EQ(synchronize(*a).failure, "it broke");
  b->wait(well);
  EXPECT_TRUE(synchronize(*b));
  b->wait(a->record());
  EXPECT_EQ(synchronize(*b).failure, "it broke");
}

TEST_F(InlineDevice, IsWhatItsExecutorIs) {
  EXPECT_EQ(dev_->id(), 7u);
  EXPECT_EQ(dev_->target(), "counting");
  EXPECT_EQ(dev_->weight_bytes(dtype::bf16, 1, 1, 1), 64u);
}

/// The loops of the CPU take all pieces themselves where there is nobody else.
TEST(CpuExecutor, GivesTheBitsOfADeviceWithThreads) {
  constexpr uint32_t rows = 64, cols = 512;
  auto compute = [](std::unique_ptr<device> dev) {
    test::workbench bench{std::move(dev)};
    linear op;
    op.x = bench.put_operand(test::random_matrix(rows, cols, 1), dtype::bf16);
    op.w = bench.put_weight(test::random_weight(dtype::bf16, cols, cols, 1, 2));
    op.out = bench.make(dtype::f32, rows, cols);
    bench.run(op);
    return bench.get(op.out);
  };
  cpu_options options;
  auto alone = compute(make_inline_device(3, make_cpu_executor(options)));
  options.num_threads = 3;
  EXPECT_TRUE(test::same_bits(alone, compute(make_cpu_device(options))));
}

} // namespace
