#pragma once

/// A tensor of a checkpoint as numbers, multiplied out element by element.

#include "runtime/checkpoint/checkpoint.hpp"

#include <gtest/gtest.h>

namespace troupe {

inline std::vector<float> values_of(const checkpoint& source,
                                    const std::string& name) {
  auto view = source.find(name);
  EXPECT_NE(view, nullptr) << name;
  auto out = *source.read_floats(name, *view);
  if (view->dtype != tensor_type::f8_e4m3)
    return out;
  auto scales = source.find(name + "_scale_inv");
  EXPECT_NE(scales, nullptr) << name;
  auto factors = *source.read_floats(name, *scales);
  auto cols = view->shape[1];
  for (size_t i = 0; i < out.size(); ++i)
    out[i] *= factors[i / cols / 128 * scales->shape[1] + i % cols / 128];
  return out;
}

inline std::vector<float> values_of(const std::filesystem::path& model_dir,
                                    const std::string& name) {
  auto source = checkpoint::open(model_dir);
  EXPECT_TRUE(source) << source.why().message;
  return values_of(*source, name);
}

} // namespace troupe
