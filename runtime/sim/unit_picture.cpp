#include "runtime/sim/unit_picture.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/toml/table_reader.hpp"
#include "runtime/tracing/flights.hpp"
#include "runtime/tracing/overlap.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace troupe {

namespace {

constexpr uint64_t max_picture_bytes = 1 << 20;

/// In the order of a micro-batch, as they are printed.
constexpr std::array stage_names = {"attn_0", "attn_1",  "dispatch", "shared",
                                    "mlp",    "combine", "copies"};

/// By kernel_family.
constexpr std::array<const char*, num_kernel_families> family_names
  = {"core_attention", "experts", "products", "other"};

/// First layers with experts, until lanes have found their places.
constexpr uint16_t warming_up = 3;

double micros(clock::instant::duration x) {
  return std::chrono::duration<double, std::micro>(x).count();
}

const char* name_of(span_kind x) {
  switch (x) {
    case span_kind::add:
    case span_kind::prepare:
      return "attn_0";
    case span_kind::attention:
    case span_kind::route:
      return "attn_1";
    case span_kind::shared_expert:
      return "shared";
    case span_kind::run:
      return "mlp";
    case span_kind::pack:
    case span_kind::land:
      return "copies";
    default:
      return nullptr;
  }
}

/// Layers [first, last), and when lane 0 began the first and the last.
struct window {
  uint16_t first = 0;
  uint16_t last = 0;
  clock::instant begin = {};
  clock::instant end = {};

  bool has(const span& x) const {
    return x.layer >= first && x.layer < last;
  }

  clock::instant::duration part_of(const span& x) const {
    return std::max(std::min(x.end, end) - std::max(x.begin, begin),
                    clock::instant::duration{0});
  }
};

window middle_of(const model_config& config, const node_spans& node) {
  window out;
  out.first = uint16_t(config.first_k_dense_replace + warming_up);
  out.last = uint16_t(config.num_hidden_layers - 1);
  for (auto& track : node.tracks)
    for (auto& x : track.spans) {
      if (x.what != span_kind::prepare || x.lane != 0)
        continue;
      auto is_new = [](auto& at) { return at == clock::instant{}; };
      if (x.layer == out.first && is_new(out.begin))
        out.begin = x.begin;
      if (x.layer == out.last && is_new(out.end))
        out.end = x.begin;
    }
  return out;
}

/// What a rank and its links did in that time.
std::vector<node_spans> cut(std::vector<node_spans> all, const window& to) {
  for (auto& node : all)
    for (auto& track : node.tracks) {
      std::erase_if(track.spans, [&](auto& x) {
        return x.end < to.begin || x.begin > to.end;
      });
      for (auto& x : track.spans) {
        x.begin = std::max(x.begin, to.begin);
        x.end = std::min(x.end, to.end);
      }
    }
  return all;
}

} // namespace

layer_figures measure_layer(const virtual_unit_options& of,
                            const unit_step& what) {
  auto& home = what.spans.at(0);
  auto at = middle_of(of.config, home);
  auto num_layers = double(at.last - at.first);
  auto num_lanes = double(of.lanes.size());
  layer_figures out;
  out.layer = micros(at.end - at.begin) / num_layers;
  double busy = 0;
  for (auto& track : home.tracks)
    for (auto& x : track.spans) {
      auto* name = name_of(x.what);
      if (!name)
        continue;
      busy += micros(at.part_of(x));
      if (at.has(x))
        out.stages[name] += micros(x.end - x.begin) / num_layers / num_lanes;
    }
  out.idle = out.layer - busy / num_layers;
  for (auto& x : match_flights(what.spans).flights)
    if (x.of.rank == 0 && at.has(x.of))
      out.stages[x.of.what == span_kind::dispatch_sent ? "dispatch" : "combine"]
        += micros(x.arrived - x.sent) / num_layers / num_lanes;
  for (size_t i = 0; i < num_kernel_families; ++i)
    out.kernels[family_names[i]] = what.of_family[i] * 1e6;
  auto report = measure_overlap(cut(what.spans, at));
  if (!report.ranks.empty()) {
    out.hidden = micros(report.ranks[0].hidden) / num_layers;
    out.exposed = micros(report.ranks[0].exposed) / num_layers;
  }
  return out;
}

// -- what is published --------------------------------------------------------

namespace {

template <class Names>
void read_numbers(table_reader& in, std::string_view key, const Names& names,
                  std::map<std::string, double>& out) {
  auto read = [&](table_reader& inner, auto& to) {
    for (auto* name : names)
      if (inner.has(name))
        inner.read(name, to[name]);
  };
  in.read_table(key, read, out);
}

void read_figures(table_reader& in, layer_figures& out) {
  in.allow_only({"layer", "stages", "kernels"}, "what is published");
  in.read("layer", out.layer);
  read_numbers(in, "stages", stage_names, out.stages);
  read_numbers(in, "kernels", family_names, out.kernels);
}

void append(std::string& to, const char* name, double ours, double published) {
  char line[128];
  if (published > 0)
    std::snprintf(line, sizeof line, "%-16s %10.1f %10.1f %7.3f\n", name, ours,
                  published, ours / published);
  else
    std::snprintf(line, sizeof line, "%-16s %10.1f %10s %7s\n", name, ours, "-",
                  "-");
  to += line;
}

double find(const std::map<std::string, double>& in, const char* name) {
  auto i = in.find(name);
  return i == in.end() ? 0 : i->second;
}

} // namespace

result<layer_figures> read_published(const std::filesystem::path& path,
                                     const std::string& name) {
  auto text = read_regular_file(path, max_picture_bytes);
  if (!text)
    return text.why();
  auto document = parse_toml(*text, path.string());
  if (!document)
    return document.why();
  table_reader in{*document, path.string()};
  layer_figures out;
  in.read_table(name, read_figures, out);
  if (!in.complaint().empty())
    return failure{errc::invalid_input, in.complaint()};
  return out;
}

std::string to_string(const layer_figures& ours,
                      const layer_figures& published) {
  std::string out = "us                     ours  published   ratio\n"
                    "-- stages of one micro-batch\n";
  for (auto* name : stage_names)
    append(out, name, find(ours.stages, name), find(published.stages, name));
  out += "-- kernels of all micro-batches\n";
  for (auto* name : family_names)
    append(out, name, find(ours.kernels, name), find(published.kernels, name));
  out += "-- a layer\n";
  append(out, "layer", ours.layer, published.layer);
  append(out, "idle", ours.idle, 0);
  append(out, "hidden", ours.hidden, 0);
  append(out, "exposed", ours.exposed, 0);
  return out;
}

} // namespace troupe
