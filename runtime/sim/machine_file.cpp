#include "runtime/sim/machine_file.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/duration.hpp"
#include "runtime/toml/table_reader.hpp"

namespace troupe {

namespace {

constexpr uint64_t max_file_bytes = 1 << 20;

void read_span(table_reader& in, std::string_view key, virtual_duration& out) {
  if (!in.has(key))
    return;
  std::string text;
  in.read(key, text);
  auto span = parse_duration(text);
  if (!span)
    return in.complain(key, duration_form);
  out = *span;
}

void read_rate(table_reader& in, std::string_view key, double& out) {
  in.read(key, out);
  if (!(out > 0))
    in.complain(key, "must be above 0");
}

void read_device(table_reader& in, machine_model& out) {
  in.allow_only(
    {"flops", "bytes_per_second", "copy_bytes_per_second", "per_operation"},
    "a device");
  read_rate(in, "flops", out.flops);
  read_rate(in, "bytes_per_second", out.bytes_per_second);
  read_rate(in, "copy_bytes_per_second", out.copy_bytes_per_second);
  read_span(in, "per_operation", out.per_operation);
}

void read_link(table_reader& in, link_model& out) {
  in.allow_only({"latency", "jitter", "bytes_per_second", "max_queue_bytes"},
                "a link");
  read_span(in, "latency", out.latency);
  read_span(in, "jitter", out.jitter);
  in.read("bytes_per_second", out.bytes_per_second);
  uint64_t queue = out.max_queue;
  in.read("max_queue_bytes", queue);
  if (queue == 0)
    in.complain("max_queue_bytes", "must be above 0");
  out.max_queue = size_t(queue);
}

void read_clocks(table_reader& in, clock_model& out) {
  in.allow_only({"drift", "offset"}, "clocks");
  in.read("drift", out.drift);
  if (out.drift > node_time::most_drift)
    in.complain("drift",
                "must be at most " + std::to_string(node_time::most_drift));
  read_span(in, "offset", out.offset);
}

/// Reads one table of the document, if it is there.
template <class Fn, class T>
void read_part(table_reader& document, std::string_view name, Fn read, T& out) {
  auto* table = document.child(name);
  if (!table)
    return;
  table_reader in{*table, document.source(), std::string{name}};
  read(in, out);
  document.absorb(in);
}

} // namespace

result<world_model> parse_world_model(std::string_view text,
                                      std::string_view source_name) {
  auto document = parse_toml(text, source_name);
  if (!document)
    return document.why();
  table_reader in{*document, std::string{source_name}};
  in.allow_only({"device", "link", "clocks"}, "a machine");
  world_model out;
  read_part(in, "device", read_device, out.device);
  read_part(in, "link", read_link, out.link);
  read_part(in, "clocks", read_clocks, out.clocks);
  if (!in.complaint().empty())
    return failure{errc::invalid_input, in.complaint()};
  return out;
}

result<world_model> read_world_model(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_file_bytes);
  if (!text)
    return text.why();
  return parse_world_model(*text, path.string());
}

} // namespace troupe
