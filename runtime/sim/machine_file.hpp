#pragma once

/// What a virtual world is made of, as a file says:
///
///   hardware = "h800.toml"              # its [gpu] is the device, see
///                                       # runtime/cost/unit_machine.hpp;
///                                       # relative to this file
///
///   [device]                            # of every node
///   flops = 1e12                        # per second, whatever is computed
///   wide_flops = 1e12                   # these and others by themselves: see
///                                       # runtime/cost/rates_table.hpp
///   bytes_per_second = 100e9            # of its memory
///   copied_per_second = 20e9            # between it and the host
///   per_kernel = "20us"                 # of each operation
///
///   [link]                              # between any two nodes, each way
///   latency = "20us"
///   jitter = "5us"                      # mean of what is added, exponential
///   bytes_per_second = 10_000_000_000   # 0: without limit
///   max_queue_bytes = 8_388_608         # of a lane, in the air
///
///   [clocks]                            # of nodes, each drawn by the seed
///   drift = 200                         # too fast or slow, in millionths
///   offset = "10min"                    # ahead of the world's, up to this

#include "runtime/error.hpp"
#include "runtime/sim/virtual_device.hpp"
#include "runtime/sim/virtual_link.hpp"

#include <filesystem>

namespace troupe {

struct clock_model {
  uint32_t drift = 200;
  virtual_duration offset = std::chrono::minutes{10};
};

/// Of a machine of no account.
constexpr device_rates modest_device{.narrow_flops = 1e12,
                                     .wide_flops = 1e12,
                                     .attention_flops = 1e12,
                                     .bytes_per_second = 100e9,
                                     .copied_per_second = 20e9,
                                     .per_kernel = 20e-6};

struct world_model {
  device_rates device = modest_device;
  link_model link;
  clock_model clocks;
};

/// What is not said keeps its default. `source_name` stands in front of every
/// complaint. Other files are looked for in `directory`; empty: none is read.
/// Error: invalid_input with one sentence that names line and key; of another
/// file what that says.
result<world_model>
parse_world_model(std::string_view text, std::string_view source_name,
                  const std::filesystem::path& directory = {});

/// Errors: not_found, io, invalid_input.
result<world_model> read_world_model(const std::filesystem::path& path);

} // namespace troupe
