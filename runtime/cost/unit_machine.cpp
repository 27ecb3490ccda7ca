#include "runtime/cost/unit_machine.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/cost/rates_table.hpp"
#include "runtime/toml/table_reader.hpp"

namespace troupe {

namespace {

constexpr uint64_t max_file_bytes = 1 << 20;
constexpr double micro = 1e-6;

/// `measured`, ascending; its numbers times `unit`.
template <class Point>
void read_points(table_reader& in, double unit, std::vector<Point>& out) {
  auto* node = in.find("measured");
  auto* list = node ? node->as_array() : nullptr;
  if (!list || list->empty())
    return in.complain("measured", "must be a list of tables");
  for (auto& x : *list) {
    auto* table = x.as_table();
    if (!table)
      return in.complain("measured", "must be a list of tables");
    table_reader point{*table, in.source(), in.name() + ".measured"};
    point.allow_only({"ranks", "dispatch", "combine"}, "a measurement");
    Point next;
    point.read("ranks", next.ranks);
    point.read_positive("dispatch", next.dispatch);
    point.read_positive("combine", next.combine);
    if (next.ranks <= (out.empty() ? 0 : out.back().ranks))
      point.complain("ranks", "must ascend");
    next.dispatch *= unit;
    next.combine *= unit;
    out.push_back(next);
    in.absorb(point);
  }
}

void read_gpu(table_reader& in, unit_machine& out) {
  in.allow_only({"multiprocessors", "narrow_flops", "wide_flops",
                 "attention_flops", "bytes_per_second", "copied_per_second",
                 "per_kernel", "product_slowdown"},
                "a GPU");
  in.read_positive("multiprocessors", out.multiprocessors);
  read_rates(in, out.gpu);
  in.read_positive("product_slowdown", out.product_slowdown);
}

void read_low_latency(table_reader& in, unit_machine& out) {
  in.allow_only({"rows", "fixed", "measured"}, "a low-latency exchange");
  in.read_positive("rows", out.low_latency.rows);
  read_seconds(in, "fixed", out.low_latency.fixed);
  read_points(in, micro, out.low_latency.measured);
}

void read_normal(table_reader& in, unit_machine& out) {
  in.allow_only({"gpus_of_node", "multiprocessors", "barrier",
                 "dispatch_slowdown", "combine_slowdown", "measured"},
                "a normal exchange");
  in.read_positive("gpus_of_node", out.normal.gpus_of_node);
  in.read("multiprocessors", out.normal.multiprocessors);
  read_seconds(in, "barrier", out.normal.barrier);
  in.read_positive("dispatch_slowdown", out.normal.dispatch_slowdown);
  in.read_positive("combine_slowdown", out.normal.combine_slowdown);
  read_points(in, 1, out.normal.measured);
}

template <class Fn>
void read_part(table_reader& document, std::string_view name, Fn read,
               unit_machine& out) {
  if (!document.has(name))
    return document.complain(name, "is missing");
  document.read_table(name, read, out);
}

} // namespace

device_rates unit_machine::rates_beside(double communicating) const {
  auto share = 1 - communicating / multiprocessors;
  auto out = gpu;
  out.narrow_flops *= share / product_slowdown;
  out.wide_flops *= share / product_slowdown;
  out.attention_flops *= share;
  return out;
}

result<unit_machine> parse_unit_machine(std::string_view text,
                                        std::string_view source_name) {
  auto document = parse_toml(text, source_name);
  if (!document)
    return document.why();
  table_reader in{*document, std::string{source_name}};
  in.allow_only({"gpu", "low_latency", "normal"}, "a unit's machine");
  unit_machine out;
  read_part(in, "gpu", read_gpu, out);
  read_part(in, "low_latency", read_low_latency, out);
  read_part(in, "normal", read_normal, out);
  if (in.complaint().empty()
      && out.normal.multiprocessors >= out.multiprocessors)
    in.complain("normal", "leaves no multiprocessors to compute");
  if (!in.complaint().empty())
    return failure{errc::invalid_input, in.complaint()};
  return out;
}

result<unit_machine> read_unit_machine(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_file_bytes);
  if (!text)
    return text.why();
  return parse_unit_machine(*text, path.string());
}

} // namespace troupe
