#include "runtime/tracing/layer_picture.hpp"

#include "runtime/formatted.hpp"
#include "runtime/tracing/flights.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

namespace troupe {

namespace {

using std::chrono::nanoseconds;

// In pixels.
constexpr double left = 130, width = 1150, right = 20, top = 44;
constexpr double row_height = 30, box_height = 24, band_gap = 14;
constexpr double width_of_letter = 7.2;

/// Beside the rank's own; others are not drawn.
constexpr size_t max_expert_nodes = 4;

/// Of micro-batches 0 to 3.
constexpr const char* colours[] = {"#f5b971", "#8fc98b", "#8cb6e0", "#d3a4d9"};

struct box {
  clock::instant begin;
  clock::instant end;
  std::string name;
  uint8_t lane = 0;
  clock::instant::duration took{0}; ///< All of it, where a part is drawn.
};

using boxes = std::vector<box>;

const track_spans* find_track(const node_spans& node, track_kind kind,
                              uint32_t number) {
  for (auto& x : node.tracks)
    if (x.kind == kind && x.number == number)
      return &x;
  return nullptr;
}

/// The node where a rank computes; null if it is not there.
const node_spans* home_of(const std::vector<node_spans>& all, uint16_t rank) {
  for (auto& node : all)
    if (find_track(node, track_kind::compute, rank))
      return &node;
  return nullptr;
}

const char* name_of(span_kind x) {
  switch (x) {
    case span_kind::prepare:
      return "PREPARE";
    case span_kind::attention:
    case span_kind::route:
      return "ATTENTION";
    case span_kind::shared_expert:
      return "SHARED";
    case span_kind::dense_mlp:
    case span_kind::run:
      return "MLP";
    case span_kind::add:
      return "ADD";
    case span_kind::head:
      return "HEAD";
    default:
      return "";
  }
}

/// How many lanes begin a layer in that time. A stream does one thing after the
/// other.
size_t num_lanes_in(const track_spans& track, const picture_choice& x) {
  std::set<uint8_t> lanes;
  for (auto i = std::ranges::lower_bound(track.spans, x.begin, {},
                                         &span::begin);
       i != track.spans.end() && i->begin < x.end; ++i)
    if (i->what == span_kind::prepare)
      lanes.insert(i->lane);
  return lanes.size();
}

std::vector<picture_choice> all_layers(const track_spans& track,
                                       uint16_t rank) {
  std::map<std::pair<uint32_t, uint16_t>, clock::instant> begun;
  std::vector<picture_choice> out;
  for (auto& x : track.spans)
    if (x.what == span_kind::prepare)
      begun[{x.step, x.layer}] = x.begin;
    else if (auto i = begun.find({x.step, x.layer});
             x.what == span_kind::add && i != begun.end())
      out.push_back({rank, x.step, x.layer, i->second, x.end});
  return out;
}

// -- boxes --------------------------------------------------------------------

/// Stages that follow each other under one name are one box.
void add_stages(const track_spans& track, boxes& to) {
  const box* last = nullptr;
  uint32_t step = 0;
  for (auto& x : track.spans) {
    std::string name = name_of(x.what);
    if (name.empty())
      continue;
    name += " " + std::to_string(x.lane);
    if (last && last->name == name && step == x.step && last->end == x.begin)
      to.back().end = x.end;
    else
      to.push_back({x.begin, x.end, name, x.lane});
    last = &to.back();
    step = x.step;
  }
}

/// A run bears the numbers of all micro-batches whose rows are in it; of `rank`
/// alone, if one is given, and those without any are left out.
void add_runs(const track_spans& track, std::optional<uint16_t> rank,
              boxes& to) {
  std::set<uint8_t> lanes;
  for (size_t i = 0; i < track.spans.size(); ++i) {
    auto& x = track.spans[i];
    if (x.what != span_kind::run)
      continue;
    lanes.clear();
    for (auto k = i + 1;
         k < track.spans.size() && track.spans[k].what == span_kind::rows; ++k)
      if (!rank || track.spans[k].rank == *rank)
        lanes.insert(track.spans[k].lane);
    if (lanes.empty())
      continue;
    std::string name = name_of(x.what);
    for (auto lane : lanes)
      name += (lane == *lanes.begin() ? " " : "+") + std::to_string(lane);
    to.push_back({x.begin, x.end, name, *lanes.begin()});
  }
}

/// From the first frame that leaves to the last that arrives.
boxes communication_of(const std::vector<node_spans>& all, uint16_t rank) {
  std::map<std::tuple<bool, uint8_t, uint32_t>, box> by;
  for (auto& x : match_flights(all).flights) {
    if (x.of.rank != rank)
      continue;
    auto is_dispatch = x.of.what == span_kind::dispatch_sent;
    auto name = is_dispatch ? "DISPATCH " : "COMBINE ";
    auto [i, is_new] = by.try_emplace(
      {is_dispatch, x.of.lane, x.of.serial},
      box{x.sent, x.arrived, name + std::to_string(x.of.lane), x.of.lane});
    i->second.end = std::max(i->second.end, x.arrived);
  }
  boxes out;
  for (auto& [key, x] : by)
    out.push_back(x);
  return out;
}

void add_workers(const node_spans& node, std::optional<uint16_t> rank,
                 boxes& to) {
  for (auto& x : node.tracks)
    if (x.kind == track_kind::worker)
      add_runs(x, rank, to);
}

/// Those of the time at hand, by begin.
boxes cut(boxes all, const picture_choice& what) {
  boxes out;
  for (auto& x : all)
    if (x.end > what.begin && x.begin < what.end)
      out.push_back({std::max(x.begin, what.begin), std::min(x.end, what.end),
                     x.name, x.lane, x.end - x.begin});
  std::ranges::sort(out, {}, &box::begin);
  return out;
}

// -- drawing ------------------------------------------------------------------

double millis(clock::instant::duration x) {
  return std::chrono::duration<double, std::milli>(x).count();
}

class canvas {
public:
  explicit canvas(const picture_choice& what) : what_(what) {
  }

  /// What overlaps goes to rows of its own.
  void band(const std::string& name, const boxes& all) {
    body_ += formatted("<text x='%.0f' y='%.0f' class='band'>%s</text>\n", 10.0,
                       y_ + 16, name.c_str());
    std::vector<clock::instant> ends; // of rows
    for (auto& x : all) {
      auto row = std::ranges::find_if(ends,
                                      [&](auto t) { return t <= x.begin; });
      if (row == ends.end())
        row = ends.insert(row, x.end);
      *row = x.end;
      put(x, y_ + row_height * double(row - ends.begin()));
    }
    y_ += row_height * double(std::max<size_t>(ends.size(), 1)) + band_gap;
  }

  std::string finish() {
    auto height = y_ + 24;
    auto out = formatted("<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' "
                         "height='%.0f' viewBox='0 0 %.0f %.0f' "
                         "font-family='sans-serif' font-size='11'>\n"
                         "<style>.band{font-weight:bold}.in{text-anchor:middle}"
                         "</style>\n<rect width='100%%' height='100%%' "
                         "fill='white'/>\n",
                         left + width + right, height, left + width + right,
                         height);
    out
      += formatted("<text x='10' y='22' font-size='14'>rank %u, step %u, layer "
                   "%u: %.2f ms</text>\n",
                   unsigned(what_.rank), what_.step, unsigned(what_.layer),
                   millis(what_.end - what_.begin));
    return out + body_ + axis() + "</svg>\n";
  }

private:
  double x_of(clock::instant when) const {
    return left
           + width * double((when - what_.begin).count())
               / double(std::max((what_.end - what_.begin).count(),
                                 clock::instant::rep{1}));
  }

  void put(const box& x, double y) {
    auto from = x_of(x.begin);
    auto wide = std::max(x_of(x.end) - from, 0.5);
    body_ += formatted("<g><title>%s: %.1f us</title><rect x='%.2f' y='%.1f' "
                       "width='%.2f' height='%.0f' rx='2' fill='%s' "
                       "stroke='#444' stroke-width='0.5'/>",
                       x.name.c_str(), 1000 * millis(x.took), from, y, wide,
                       box_height, colours[x.lane % std::size(colours)]);
    auto name = x.name;
    if (wide < width_of_letter * double(name.size()))
      name = (name.starts_with("ADD") ? "+" : name.substr(0, 1))
             + std::to_string(x.lane);
    if (wide >= width_of_letter * double(name.size()))
      body_ += formatted("<text class='in' x='%.2f' y='%.1f'>%s</text>",
                         from + wide / 2, y + 16, name.c_str());
    body_ += "</g>\n";
  }

  std::string axis() const {
    std::string out;
    auto all = millis(what_.end - what_.begin);
    constexpr int parts = 5;
    for (int i = 0; i <= parts; ++i) {
      auto x = left + width * i / parts;
      out += formatted("<line x1='%.1f' y1='%.0f' x2='%.1f' y2='%.0f' "
                       "stroke='#ccc' stroke-width='0.5'/><text class='in' "
                       "x='%.1f' y='%.0f'>%.2f ms</text>\n",
                       x, top - 8, x, y_, x - (i == parts ? 14 : 0), y_ + 14,
                       all * i / parts);
    }
    return out;
  }

  const picture_choice what_;
  std::string body_;
  double y_ = top;
};

} // namespace

result<picture_choice> choose_layer(const std::vector<node_spans>& all,
                                    uint16_t rank) {
  auto home = home_of(all, rank);
  if (!home)
    return failure{errc::not_found,
                   "the trace has no stages of rank " + std::to_string(rank)};
  auto& track = *find_track(*home, track_kind::compute, rank);
  auto layers = all_layers(track, rank);
  size_t most = 0;
  std::vector<size_t> lanes;
  for (auto& x : layers) {
    lanes.push_back(num_lanes_in(track, x));
    most = std::max(most, lanes.back());
  }
  std::vector<picture_choice> fit;
  for (size_t i = 0; i < layers.size(); ++i)
    if (lanes[i] == most)
      fit.push_back(layers[i]);
  if (fit.empty())
    return failure{errc::not_found, "the trace has no whole layer with experts "
                                    "of rank "
                                      + std::to_string(rank)};
  std::ranges::sort(fit, {}, [](auto& x) { return x.end - x.begin; });
  return fit[fit.size() / 2];
}

std::string draw_layer(const std::vector<node_spans>& all,
                       const picture_choice& what) {
  boxes computed;
  auto home = home_of(all, what.rank);
  if (home) {
    add_stages(*find_track(*home, track_kind::compute, what.rank), computed);
    add_workers(*home, std::nullopt, computed);
  }
  canvas out{what};
  out.band("compute", cut(std::move(computed), what));
  out.band("communication", cut(communication_of(all, what.rank), what));
  size_t num_drawn = 0;
  for (auto& node : all) {
    boxes runs;
    if (&node != home)
      add_workers(node, what.rank, runs);
    runs = cut(std::move(runs), what);
    if (!runs.empty() && num_drawn++ < max_expert_nodes)
      out.band("experts, node " + std::to_string(node.node), runs);
  }
  return out.finish();
}

} // namespace troupe
