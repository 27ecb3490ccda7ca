#include "runtime/model/load_window.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <fstream>

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

/// Bytes of a mapped file that this process holds.
uint64_t resident(const std::filesystem::path& path) {
  std::ifstream maps{"/proc/self/smaps"};
  uint64_t kib = 0;
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(path.string()) != line.npos)
      inside = true;
    else if (inside && line.starts_with("Rss:")) {
      kib += std::stoul(line.substr(4));
      inside = false;
    }
  }
  return kib * 1024;
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

  /// Sends all tensors through `window` in parts of `step` bytes, to memory of
  /// the device and from there to copies_.
  void send_all(load_window& window, uint64_t step) {
    for (uint32_t t = 0; t < num_tensors; ++t) {
      auto bytes = source_.find(name_of(t))->bytes;
      memory_.push_back(*dev_->allocate(tensor_bytes));
      for (uint64_t at = 0; at < tensor_bytes; at += step) {
        auto part = bytes.subspan(at, std::min(step, tensor_bytes - at));
        window.submit(kernels::copy_in{part.data(),
                                       memory_.back().slice(at, part.size()),
                                       nullptr},
                      part);
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
  load_window window{source_, *dev_, limit};
  send_all(window, 70'001);
  EXPECT_LE(window.in_flight(), limit);
  EXPECT_TRUE(window.finish());
  EXPECT_EQ(window.in_flight(), 0u);
  EXPECT_LE(window.most_in_flight(), limit);
  EXPECT_GT(window.most_in_flight(), limit / 2);
  expect_all();
}

TEST_F(LoadWindow, LetsWhatIsLargerThanItsLimitGoAlone) {
  load_window window{source_, *dev_, 1000};
  send_all(window, tensor_bytes);
  EXPECT_TRUE(window.finish());
  EXPECT_EQ(window.most_in_flight(), tensor_bytes);
  expect_all();
}

TEST_F(LoadWindow, CountsWhatIsCopiedAndWhatWasReadBefore) {
  load_window window{source_, *dev_, 1000};
  auto bytes = source_.find(name_of(0))->bytes;
  window.leave(bytes.first(600));
  EXPECT_EQ(window.in_flight(), 600u);
  memory_.push_back(*dev_->allocate(64));
  window.submit(kernels::copy_in{bytes.data(), memory_[0], nullptr}, {}, 300);
  EXPECT_EQ(window.most_in_flight(), 900u);
  window.leave(bytes.first(500));
  EXPECT_LE(window.most_in_flight(), 1000u);
  EXPECT_TRUE(window.finish());
  dev_->free(memory_[0]);
}

TEST_F(LoadWindow, LeavesNothingOfTheFileInMemory) {
  load_window window{source_, *dev_, 300'000};
  send_all(window, 70'001);
  EXPECT_TRUE(window.finish());
  EXPECT_LT(resident(dir_ / "model.safetensors"), tensor_bytes);
  expect_all();
}

TEST_F(LoadWindow, WhatWasGivenBackIsReadAgainTheSame) {
  for (int round = 0; round < 2; ++round)
    for (uint32_t t = 0; t < num_tensors; ++t) {
      auto bytes = source_.find(name_of(t))->bytes;
      expect_numbers({bytes.begin(), bytes.end()}, t);
      source_.give_back(bytes.subspan(5, bytes.size() / 2));
      expect_numbers({bytes.begin(), bytes.end()}, t);
      source_.give_back(bytes);
    }
  EXPECT_TRUE(source_.check_unchanged());
}

} // namespace
} // namespace troupe
