#include "deploy/top_view.hpp"

#include "runtime/formatted.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace troupe {

namespace {

using nlohmann::json;
using table = std::vector<std::string>; ///< Its head, then a line each.

/// "12.3 MB/s"
std::string amount(double x, const char* unit) {
  constexpr const char* steps[] = {"", "k", "M", "G", "T"};
  size_t i = 0;
  for (; x >= 1000 && i + 1 < std::size(steps); ++i)
    x /= 1000;
  return formatted(x < 10 && i > 0 ? "%.1f %s%s" : "%.0f %s%s", x, steps[i],
                   unit);
}

std::string bar(double share, size_t width) {
  auto n
    = static_cast<size_t>(std::clamp(share, 0.0, 1.0) * double(width) + 0.5);
  return std::string(n, '#') + std::string(width - n, '.');
}

/// Control characters of names would be orders to the terminal.
std::string shown(const json& x) {
  auto out = x.is_string() ? x.get<std::string>() : x.dump();
  for (auto& c : out)
    if (static_cast<unsigned char>(c) < 32 || c == 127)
      c = '?';
  return out;
}

double number(const json& x, const char* key) {
  auto i = x.find(key);
  return i != x.end() && i->is_number() ? i->get<double>() : 0;
}

} // namespace

struct top_view::state {
  json before;
  json now;
  double seconds = 0; ///< Between the two; 0: there is only one.

  /// Per second, of the part of list `of` that has that number.
  double rate(const char* of, const char* id, const json& x,
              const char* key) const {
    if (seconds <= 0 || !before.contains(of))
      return 0;
    for (auto& y : before.at(of))
      if (number(y, id) == number(x, id))
        return std::max(0.0, number(x, key) - number(y, key)) / seconds;
    return 0;
  }

  const json& list(const char* of) const {
    static const auto none = json::array();
    auto i = now.find(of);
    return i != now.end() && i->is_array() ? *i : none;
  }

  std::string name_of(double node) const {
    for (auto& x : list("nodes"))
      if (number(x, "node") == node && x.contains("name"))
        return shown(x.at("name"));
    return "?";
  }

  table head() const {
    double tokens = 0, running = 0, waiting = 0;
    for (auto& x : list("ranks")) {
      tokens += rate("ranks", "rank", x, "tokens");
      running += number(x, "running");
      waiting += number(x, "waiting");
    }
    auto takes = now.contains("takes_requests")
                 && now.at("takes_requests") == true;
    table out{
      formatted("%s   view %.0f   epochs %s   %.0f requests run, %.0f "
                "wait   %.0f tokens/s",
                takes ? "serving" : "takes no requests", number(now, "view"),
                now.contains("epochs") ? shown(now["epochs"]).c_str() : "[]",
                running, waiting, tokens)};
    if (auto why = now.find("trouble"); why != now.end() && *why != "")
      out.push_back("! " + shown(*why));
    if (auto x = now.find("balance"); x != now.end())
      out.push_back(formatted("balance of workers %.2f found, %.2f planned   "
                              "%.0f experts moved by %.0f changes",
                              number(*x, "balance"), number(*x, "planned"),
                              number(*x, "moved"), number(*x, "changes")));
    if (auto leaver = now.find("drain"); leaver != now.end())
      out.push_back(shown(*leaver));
    if (auto x = now.find("request_balance"); x != now.end()) {
      auto& last = list("request_moves");
      auto why = last.empty() ? json{""}
                              : last.back().value("reason", json{""});
      out.push_back(formatted("%.0f requests moved, %.0f stayed   ",
                              number(*x, "moved"), number(*x, "refused"))
                    + shown(why));
    }
    return out;
  }

  table nodes() const {
    table out{"node                 state      sends"};
    for (auto& x : list("nodes")) {
      auto why = x.contains("why") ? "  " + shown(x["why"]) : "";
      out.push_back(formatted(
        "%-20s %-10s %s%s", shown(x.value("name", json{"?"})).c_str(),
        shown(x.value("state", json{"?"})).c_str(),
        amount(rate("nodes", "node", x, "network_bytes_sent"), "B/s").c_str(),
        why.c_str()));
    }
    return out;
  }

  table ranks() const {
    table out{"rank  node              runs  waits  steps/s  tokens/s  cache"};
    for (auto& x : list("ranks")) {
      auto all = number(x, "kv_blocks");
      auto used = all > 0 ? 1 - number(x, "kv_blocks_free") / all : 0;
      out.push_back(formatted(
        "%4.0f  %-16s %5.0f  %5.0f  %7.1f  %8.1f  %s %3.0f %%",
        number(x, "rank"), name_of(number(x, "node")).c_str(),
        number(x, "running"), number(x, "waiting"),
        rate("ranks", "rank", x, "steps"), rate("ranks", "rank", x, "tokens"),
        bar(used, 16).c_str(), 100 * used));
    }
    return out;
  }

  table workers() const {
    table out{"worker  node              runs/s   rows/s  rows of all"};
    double all = 0;
    for (auto& x : list("workers"))
      all += rate("workers", "worker", x, "rows");
    for (auto& x : list("workers")) {
      auto rows = rate("workers", "worker", x, "rows");
      out.push_back(formatted("%6.0f  %-16s %7.1f  %7.0f  %s",
                              number(x, "worker"),
                              name_of(number(x, "node")).c_str(),
                              rate("workers", "worker", x, "runs"), rows,
                              bar(all > 0 ? rows / all : 0, 16).c_str()));
    }
    return out;
  }

  table layers() const {
    table out{"unit  layer  experts  replicas     rows  most/mean  most asked"};
    for (auto& x : list("layers")) {
      auto mean = number(x, "rows") / std::max(1.0, number(x, "experts"));
      out.push_back(formatted(
        "%4.0f  %5.0f  %7.0f  %8.0f  %7.0f  %9.2f  %10.0f", number(x, "unit"),
        number(x, "layer"), number(x, "experts"), number(x, "replicas"),
        number(x, "rows"), mean > 0 ? number(x, "most_rows") / mean : 0,
        number(x, "most_asked")));
    }
    return out;
  }
};

top_view::top_view() : state_(std::make_unique<state>()) {
}

top_view::~top_view() = default;

result<void> top_view::take(std::string_view answer, double seconds) {
  auto x = json::parse(answer, nullptr, false);
  if (!x.is_object() || !x.contains("nodes"))
    return failure{errc::invalid_input,
                   "this is no answer of /cluster of a Troupe server"};
  state_->before = std::exchange(state_->now, std::move(x));
  state_->seconds = state_->before.is_object() ? seconds : 0;
  return {};
}

std::vector<std::string> top_view::lines(size_t num_lines, size_t width) const {
  auto& x = *state_;
  table tables[] = {x.head(), x.nodes(), x.ranks(), x.workers(), x.layers()};
  // All have a few lines; what is left goes to whoever comes first.
  constexpr size_t few = 4;
  auto left = num_lines;
  for (auto& t : tables)
    left -= std::min(left, std::min(t.size(), few) + 1);
  std::vector<std::string> out;
  for (auto& t : tables) {
    auto most = std::min(t.size(), few);
    auto more = std::min(left, t.size() - most);
    left -= more;
    most += more;
    if (!out.empty())
      out.push_back("");
    out.insert(out.end(), t.begin(), t.begin() + ptrdiff_t(most));
    if (most < t.size())
      out.back() = formatted("  ... and %zu more", t.size() - most + 1);
  }
  if (out.size() > num_lines)
    out.resize(num_lines);
  for (auto& line : out)
    if (line.size() > width)
      line.resize(width);
  return out;
}

} // namespace troupe
