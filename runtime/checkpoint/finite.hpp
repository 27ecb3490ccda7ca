#pragma once

/// Weights that are no finite numbers: one of them is enough to make every
/// answer nonsense, so they are found when they are read.

#include "runtime/checkpoint/tensor_view.hpp"

#include <optional>
#include <span>
#include <string_view>

namespace troupe {

/// Returns the index of the first element that is NaN or infinite, if there is
/// one. `values` are F32, BF16 or F8_E4M3 (which has no infinity), at any
/// address; about as fast as memory is read.
std::optional<uint64_t> first_not_finite(tensor_type type,
                                         std::span<const std::byte> values);

/// What is to be said of it.
failure not_finite(std::string_view name, uint64_t element);

/// Checks the scales of FP8 blocks: from 0 on, and every code times its scale
/// is a finite number. Error: invalid_input, naming the tensor.
result<void> check_scales(std::string_view name, std::span<const float> scales);

} // namespace troupe
