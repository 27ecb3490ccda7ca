#pragma once

/// How fast a device is, as a table of a file says:
///
///   narrow_flops = 1550e12     # of 8-bit products, per second, as reached
///   wide_flops = 660e12        # of all others
///   attention_flops = 660e12
///   bytes_per_second = 3.0e12
///   copied_per_second = 50e9   # between it and its host
///   per_kernel = "1us"

#include "runtime/cost/kernel_work.hpp"

#include <string>
#include <string_view>

namespace troupe {

class table_reader;

/// What is not said stays as it is.
void read_rates(table_reader& in, device_rates& out);

/// A time such as "1us", in seconds.
void read_seconds(table_reader& in, std::string_view key, double& out);

/// Lines that read_rates reads.
std::string to_toml(const device_rates& x);

} // namespace troupe
