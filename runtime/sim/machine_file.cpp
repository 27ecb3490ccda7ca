#include "runtime/sim/machine_file.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/cost/rates_table.hpp"
#include "runtime/cost/unit_machine.hpp"
#include "runtime/toml/table_reader.hpp"

namespace troupe {

namespace {

constexpr uint64_t max_machine_bytes = 1 << 20;

void read_device(table_reader& in, device_rates& out) {
  in.allow_only({"flops", "narrow_flops", "wide_flops", "attention_flops",
                 "bytes_per_second", "copied_per_second", "per_kernel"},
                "a device");
  if (in.has("flops")) {
    double all = 0;
    in.read_positive("flops", all);
    out.set_flops(all);
  }
  read_rates(in, out);
}

/// The device of another file.
result<void> read_hardware(table_reader& in,
                           const std::filesystem::path& directory,
                           device_rates& out) {
  std::string name;
  in.read("hardware", name);
  if (!in.has("hardware") || !in.complaint().empty())
    return {};
  if (directory.empty()) {
    in.complain("hardware", "can only be in a file");
    return {};
  }
  auto machine = read_unit_machine(directory / name);
  if (!machine)
    return machine.why();
  out = machine->gpu;
  return {};
}

void read_link(table_reader& in, link_model& out) {
  in.allow_only({"latency", "jitter", "bytes_per_second", "max_queue_bytes"},
                "a link");
  in.read("latency", out.latency);
  in.read("jitter", out.jitter);
  in.read("bytes_per_second", out.bytes_per_second);
  uint64_t queue = out.max_queue;
  in.read_positive("max_queue_bytes", queue);
  out.max_queue = size_t(queue);
}

void read_clocks(table_reader& in, clock_model& out) {
  in.allow_only({"drift", "offset"}, "clocks");
  in.read("drift", out.drift);
  if (out.drift > node_time::most_drift)
    in.complain("drift",
                "must be at most " + std::to_string(node_time::most_drift));
  in.read("offset", out.offset);
}

} // namespace

result<world_model> parse_world_model(std::string_view text,
                                      std::string_view source_name,
                                      const std::filesystem::path& directory) {
  auto document = parse_toml(text, source_name);
  if (!document)
    return document.why();
  table_reader in{*document, std::string{source_name}};
  in.allow_only({"hardware", "device", "link", "clocks"}, "a machine");
  world_model out;
  if (auto read = read_hardware(in, directory, out.device); !read)
    return read.why();
  in.read_table("device", read_device, out.device);
  in.read_table("link", read_link, out.link);
  in.read_table("clocks", read_clocks, out.clocks);
  if (!in.complaint().empty())
    return failure{errc::invalid_input, in.complaint()};
  return out;
}

result<world_model> read_world_model(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_machine_bytes);
  if (!text)
    return text.why();
  return parse_world_model(*text, path.string(),
                           std::filesystem::absolute(path).parent_path());
}

} // namespace troupe
