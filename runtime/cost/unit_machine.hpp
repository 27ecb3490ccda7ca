#pragma once

/// What the GPUs of a unit and their network are like, as a file says
/// (deploy/machines/h800.toml):
///
///   [gpu]
///   multiprocessors = 132
///   narrow_flops = 1550e12     # of 8-bit products, per second, as reached
///   wide_flops = 660e12        # of all others
///   attention_flops = 660e12
///   bytes_per_second = 3.0e12
///   per_kernel = "1us"
///   product_slowdown = 1.12    # beside communication
///
///   [low_latency]              # times of `rows` of each rank, microseconds
///   rows = 128
///   fixed = "28us"
///   measured = [{ ranks = 128, dispatch = 192, combine = 369 }]
///
///   [normal]                   # bytes per second, to all nodes
///   gpus_of_node = 8
///   multiprocessors = 24
///   barrier = "1ms"            # ahead of each
///   dispatch_slowdown = 1.3
///   combine_slowdown = 1.2
///   measured = [{ ranks = 32, dispatch = 58e9, combine = 57e9 }]

#include "runtime/cost/exchange_times.hpp"
#include "runtime/cost/kernel_work.hpp"
#include "runtime/error.hpp"

#include <filesystem>
#include <string_view>

namespace troupe {

struct unit_machine {
  device_rates gpu;
  double multiprocessors = 1;
  double product_slowdown = 1; ///< Of products beside communication.
  low_latency_exchange low_latency;
  normal_exchange normal;

  /// Of what computes while so many multiprocessors communicate.
  device_rates rates_beside(double communicating) const;
};

/// What is not said keeps its default; tables of exchanges have to be there.
/// `source_name` stands in front of every complaint. Error: invalid_input with
/// one sentence that names line and key.
result<unit_machine> parse_unit_machine(std::string_view text,
                                        std::string_view source_name);

/// Errors: not_found, io, invalid_input.
result<unit_machine> read_unit_machine(const std::filesystem::path& path);

} // namespace troupe
