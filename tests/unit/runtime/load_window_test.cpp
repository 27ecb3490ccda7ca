#include "runtime/model/load_window.hpp"

#include "runtime/checkpoint/checkpoint.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

constexpr uint64_t tensor_bytes = 1 << 20;
constexpr uint32_t num_tensors = 6;

std::string name_of(uint32_t i) {
  return "x" + std::to_string(i);
}

int32_t value_at(uint32_t tensor, uint64_t i) {
  return static_cast<int32_t>(tensor * 1000003 + i * 7);
}

/// A model directory with some MB of numbers.
std::filesystem::path write_numbers() {
  auto dir = scratch_dir();
  safetensors_writer out;
  for (uint32_t t = 0; t < num_tensors; ++t) {
    std::vector<int32_t> values(tensor_bytes / 4);
    for (uint64_t i = 0; i < values.size(); ++i)
      values[i] = value_at(t, i);
    out.add(name_of(t), {values.size()}, values);
  }
  EXPECT_TRUE(out.write(dir / "model.safetensors"));
  return dir;
}

void expect_numbers(const std::vector<std::byte>& got, uint32_t tensor) {
  auto values = reinterpret_cast<const int32_t*>(got.data());
  for (uint64_t i = 0; i < got.size() / 4; ++i)
    ASSERT_EQ(values[i], value_at(tensor, i)) << name_of(tensor);
}

class LoadWindow : public testing::Test {
protected:
  LoadWindow()
    : dir_(write_numbers()), source_(std::move(*checkpoint::open(dir_))) {
    for (auto& x : copies_)
      x.resize(tensor_bytes);
  }

  /// Sends all tensors through `window` in parts of `step` bytes.
  void send_all(load_window& window, uint64_t step) {
    for (uint32_t t = 0; t < num_tensors; ++t) {
      auto& x = *source_.find(name_of(t));
      memory_.push_back(*dev_->allocate(tensor_bytes));
      for (uint64_t at = 0; at < tensor_bytes; at += step) {
        auto part = window.claim(std::min(step, tensor_bytes - at));
        ASSERT_TRUE(part);
        ASSERT_TRUE(source_.read(x, at, part.bytes));
        kernels::copy_in op{part.bytes.data(),
                            memory_.back().slice(at, part.bytes.size()),
                            nullptr};
        window.submit(std::move(op), part);
      }
    }
  }

  void expect_all() {
    auto stream = dev_->make_stream();
    for (uint32_t t = 0; t < num_tensors; ++t)
      stream->enqueue(kernels::copy_out{memory_[t], copies_[t].data(), {}});
    EXPECT_TRUE(kernels::synchronize(*stream));
    for (uint32_t t = 0; t < num_tensors; ++t)
      expect_numbers(copies_[t], t);
    for (auto& mem : memory_)
      dev_->free(mem);
  }

  std::filesystem::path dir_;
  checkpoint source_;
  std::unique_ptr<kernels::device> dev_
    = kernels::make_cpu_device({.num_threads = 2});
  std::vector<kernels::buffer> memory_;
  std::vector<std::byte> copies_[num_tensors];
};

TEST_F(LoadWindow, HoldsNoMoreThanItsLimit) {
  constexpr uint64_t limit = 300'000;
  load_window window{*dev_, limit};
  send_all(window, 70'001);
  EXPECT_LE(window.in_flight(), limit);
  EXPECT_TRUE(window.finish());
  EXPECT_EQ(window.in_flight(), 0u);
  EXPECT_LE(window.most_in_flight(), limit);
  EXPECT_GT(window.most_in_flight(), limit / 2);
  expect_all();
}

TEST_F(LoadWindow, LetsWhatIsLargerThanItsLimitGoAlone) {
  load_window window{*dev_, 1000};
  send_all(window, tensor_bytes);
  EXPECT_TRUE(window.finish());
  EXPECT_EQ(window.most_in_flight(), tensor_bytes);
  expect_all();
}

TEST_F(LoadWindow, CountsWhatIsCopiedAndWhatIsGivenBack) {
  load_window window{*dev_, 1000};
  auto part = window.claim(600);
  EXPECT_EQ(window.in_flight(), 600u);
  auto kept = std::make_shared<std::vector<std::byte>>(64);
  memory_.push_back(*dev_->allocate(64));
  window.submit(kernels::copy_in{kept->data(), memory_[0], kept}, 300);
  EXPECT_EQ(window.most_in_flight(), 900u);
  window.give_back(part);
  EXPECT_LE(window.in_flight(), 300u);
  window.give_back(window.claim(700));
  EXPECT_LE(window.most_in_flight(), 1000u);
  EXPECT_TRUE(window.finish());
  EXPECT_EQ(window.in_flight(), 0u);
  dev_->free(memory_[0]);
}

TEST_F(LoadWindow, APartThatNobodyHasSubmittedHoldsUpNobodyElse) {
  for (uint64_t held : {600, 1000, 1600}) { // below, at and beyond the limit
    load_window window{*dev_, 1000};
    auto bytes = std::make_shared<std::vector<std::byte>>(500);
    auto target = *dev_->allocate(500);
    auto send = [&](uint64_t count) {
      kernels::copy_in op{bytes->data(), target.slice(0, count), bytes};
      window.submit(std::move(op), count);
    };
    auto part = window.claim(held);
    ASSERT_TRUE(part);
    send(100);
    send(500);
    send(500);
    EXPECT_LE(window.in_flight(), held + 1000);
    window.give_back(part);
    EXPECT_TRUE(window.finish());
    EXPECT_EQ(window.in_flight(), 0u);
    dev_->free(target);
  }
}

TEST_F(LoadWindow, UsesItsMemoryAgain) {
  load_window window{*dev_, 1000};
  auto part = window.claim(10);
  auto first = part.bytes.data();
  window.give_back(part);
  part = window.claim(1000);
  EXPECT_EQ(part.bytes.data(), first);
  window.give_back(part);
  EXPECT_EQ(window.in_flight(), 0u);
}

TEST_F(LoadWindow, SharesItsMemoryAmongManySmallParts) {
  load_window window{*dev_};
  std::vector<load_window::part> parts;
  for (int i = 0; i < 1000; ++i) {
    parts.push_back(window.claim(1000));
    std::ranges::fill(parts.back().bytes, static_cast<std::byte>(i));
  }
  auto first = parts.front().bytes.data();
  EXPECT_LT(parts.back().bytes.data() - first,
            static_cast<ptrdiff_t>(load_window::part_bytes));
  for (size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(parts[i].bytes[999], static_cast<std::byte>(i));
    window.give_back(parts[i]);
  }
  EXPECT_EQ(window.claim(1000).bytes.data(), first);
}

} // namespace
} // namespace troupe
