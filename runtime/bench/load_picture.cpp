#include "runtime/bench/load_picture.hpp"

#include "runtime/as_seconds.hpp"
#include "runtime/formatted.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::bench {

namespace {

// In pixels.
constexpr double left = 70, right = 70, width = 860, height = 220, gap = 70;
constexpr double top = 50, legend_step = 150;

constexpr size_t max_points = 200; ///< Of a curve.
constexpr size_t num_bins = 120;   ///< Of the time.

std::string escaped(const std::string& x) {
  std::string out;
  for (auto c : x)
    out += c == '<'   ? std::string{"&lt;"}
           : c == '&' ? std::string{"&amp;"}
                      : std::string{c};
  return out;
}

std::string time_label(double s) {
  return s < 1e-3 ? formatted("%.3g us", s * 1e6)
         : s < 1  ? formatted("%.3g ms", s * 1e3)
                  : formatted("%.3g s", s);
}

struct curve {
  const char* name;
  const char* colour;
  std::vector<double> values; ///< s
};

std::vector<curve> curves_of(const std::vector<call_record>& all) {
  curve ttft{"first token", "#d1495b", {}}, tpot{"per token", "#2e86ab", {}},
    itl{"between pieces", "#8fb339", {}}, e2el{"whole request", "#6c4f77", {}};
  for (auto& x : all) {
    if (!x.ok())
      continue;
    e2el.values.push_back(x.latency());
    if (x.first)
      ttft.values.push_back(x.first_after());
    if (auto time = x.per_token())
      tpot.values.push_back(*time);
    itl.values.insert(itl.values.end(), x.gaps.begin(), x.gaps.end());
  }
  std::vector<curve> out;
  for (auto* x : {&itl, &tpot, &ttft, &e2el}) {
    std::ranges::sort(x->values);
    if (!x->values.empty())
      out.push_back(std::move(*x));
  }
  return out;
}

std::string line(double x1, double y1, double x2, double y2) {
  return formatted(
    "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#ddd'/>\n", x1, y1,
    x2, y2);
}

std::string label(double x, double y, const char* anchor,
                  const std::string& what) {
  return formatted("<text x='%.1f' y='%.1f' text-anchor='%s'>%s</text>\n", x, y,
                   anchor, what.c_str());
}

std::string legend(double y, size_t place, const char* colour,
                   const char* name) {
  auto x = left + legend_step * double(place);
  return formatted(
           "<rect x='%.1f' y='%.1f' width='12' height='12' fill='%s'/>\n", x,
           y - 10, colour)
         + label(x + 17, y, "start", name);
}

std::string polyline(const char* colour, const std::string& points) {
  return "<polyline fill='none' stroke-width='1.6' stroke='"
         + std::string{colour} + "' points='" + points + "'/>\n";
}

// -- how latencies are spread -------------------------------------------------

/// Decades of time, from `least` to `most`.
class time_scale {
public:
  explicit time_scale(const std::vector<curve>& curves) {
    double low = 1, high = 1e-6;
    for (auto& x : curves) {
      low = std::min(low, x.values[x.values.size() / 50]);
      high = std::max(high, x.values.back());
    }
    least_ = std::floor(std::log10(std::max(low, 1e-5)));
    most_ = std::max(std::ceil(std::log10(high)), least_ + 1);
  }

  double x_of(double s) const {
    auto place = (std::log10(std::max(s, 1e-9)) - least_) / (most_ - least_);
    return left + width * std::clamp(place, 0.0, 1.0);
  }

  std::string axis(double y) const {
    std::string out;
    for (auto decade = least_; decade <= most_; ++decade)
      for (double digit : {1.0, 2.0, 5.0}) {
        auto s = digit * std::pow(10, decade);
        if (std::log10(s) > most_ + 1e-9)
          break;
        out += line(x_of(s), y, x_of(s), y + height);
        out += label(x_of(s), y + height + 16, "middle", time_label(s));
      }
    return out;
  }

private:
  double least_;
  double most_;
};

std::string draw_spread(const std::vector<curve>& curves, double y) {
  time_scale scale{curves};
  auto out = scale.axis(y);
  for (int percent : {0, 50, 90, 99, 100}) {
    auto at = y + height * (1 - percent / 100.0);
    out += line(left, at, left + width, at);
    if (percent != 99)
      out += label(left - 8, at + 4, "end", formatted("%d %%", percent));
  }
  size_t place = 0;
  for (auto& x : curves) {
    std::string points;
    auto count = x.values.size();
    auto steps = std::min(count, max_points);
    for (size_t i = 0; i <= steps; ++i) {
      auto part = double(i) / double(steps);
      auto value = x.values[std::min(size_t(part * double(count)), count - 1)];
      points += formatted("%.1f,%.1f ", scale.x_of(value),
                          y + height * (1 - part));
    }
    out += polyline(x.colour, points);
    out += legend(y - 10, place++, x.colour, x.name);
  }
  return out;
}

// -- over time ----------------------------------------------------------------

struct timeline {
  double bin = 1;              ///< s
  std::vector<double> tokens;  ///< A second, in each bin.
  std::vector<double> running; ///< Mean of requests.
};

timeline timeline_of(const std::vector<call_record>& all) {
  double end = 1e-3;
  for (auto& x : all)
    end = std::max(end, as_seconds(x.end));
  timeline out{end / num_bins, std::vector<double>(num_bins),
               std::vector<double>(num_bins)};
  auto bin_of = [&](double s) {
    return std::min(size_t(std::max(s, 0.0) / out.bin), num_bins - 1);
  };
  for (auto& x : all) {
    auto from = as_seconds(x.sent), to = as_seconds(x.end);
    for (auto i = bin_of(from); i <= bin_of(to); ++i) {
      auto begin = std::max(from, double(i) * out.bin);
      auto part = std::min(to, double(i + 1) * out.bin) - begin;
      out.running[i] += std::max(part, 0.0) / out.bin;
    }
    if (!x.first)
      continue;
    auto weight = std::max(x.output_tokens, 1u) / double(x.num_pieces());
    auto time = as_seconds(*x.first);
    out.tokens[bin_of(time)] += weight / out.bin;
    for (auto gap : x.gaps)
      out.tokens[bin_of(time += gap)] += weight / out.bin;
  }
  return out;
}

/// 1, 2 or 5 times a power of ten, so that `most` has at most five of them.
double step_for(double most) {
  auto power = std::pow(10, std::floor(std::log10(most / 5)));
  for (double digit : {1.0, 2.0, 5.0})
    if (most / (digit * power) <= 5)
      return digit * power;
  return 10 * power;
}

double most_of(const std::vector<double>& x) {
  return std::max(*std::ranges::max_element(x), 1e-3) * 1.05;
}

std::string steps(const std::vector<double>& values, double most, double y) {
  std::string out;
  for (size_t i = 0; i < values.size(); ++i) {
    auto at = y + height * (1 - values[i] / most);
    out += formatted("%.1f,%.1f %.1f,%.1f ",
                     left + width * double(i) / num_bins, at,
                     left + width * double(i + 1) / num_bins, at);
  }
  return out;
}

std::string draw_timeline(const timeline& x, double y) {
  auto tokens = most_of(x.tokens), running = most_of(x.running);
  auto end = x.bin * num_bins;
  std::string out;
  for (double s = 0, step = step_for(end); s <= end; s += step) {
    auto at = left + width * s / end;
    out += line(at, y, at, y + height);
    out += label(at, y + height + 16, "middle", formatted("%.6g s", s));
  }
  for (double v = 0, step = step_for(tokens); v <= tokens; v += step) {
    auto at = y + height * (1 - v / tokens);
    out += line(left, at, left + width, at);
    out += label(left - 8, at + 4, "end", formatted("%.6g", v));
  }
  for (double v = 0, step = step_for(running); v <= running; v += step)
    out += label(left + width + 8, y + height * (1 - v / running) + 4, "start",
                 formatted("%.6g", v));
  auto floor = y + height;
  out += formatted(
           "<polygon fill='#2e86ab' fill-opacity='0.35' points='%.1f,%.1f ",
           left, floor)
         + steps(x.tokens, tokens, y)
         + formatted("%.1f,%.1f'/>\n", left + width, floor);
  out += polyline("#d1495b", steps(x.running, running, y));
  out += legend(y - 10, 0, "#2e86ab", "tokens a second (left)");
  return out + legend(y - 10, 2, "#d1495b", "running requests (right)");
}

} // namespace

std::string draw_load(const std::vector<call_record>& all,
                      const std::string& title) {
  constexpr auto below = top + 30 + height + gap;
  constexpr auto wide = left + width + right, high = below + height + 40;
  auto out = formatted("<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' "
                       "height='%.0f' viewBox='0 0 %.0f %.0f' "
                       "font-family='sans-serif' font-size='11'>\n<rect "
                       "width='100%%' height='100%%' fill='white'/>\n",
                       wide, high, wide, high);
  out += "<text x='10' y='22' font-size='14'>" + escaped(title) + "</text>\n";
  if (auto curves = curves_of(all); !curves.empty())
    out += draw_spread(curves, top + 30);
  if (!all.empty())
    out += draw_timeline(timeline_of(all), below);
  return out + "</svg>\n";
}

} // namespace troupe::bench
