#include "runtime/tracing/span_file.hpp"

#include "runtime/checkpoint/output_file.hpp"
#include "runtime/formatted.hpp"
#include "runtime/json/field_reader.hpp"
#include "runtime/tracing/flights.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace troupe {

namespace {

using std::chrono::nanoseconds;

constexpr std::string_view first_line = "{\"displayTimeUnit\":\"ns\","
                                        "\"traceEvents\":[";
constexpr std::string_view last_line = "]}";
constexpr size_t max_line = 4096;
constexpr double max_microseconds = 9e15; // whole nanoseconds are exact below

/// How long a moment is where it has to be seen.
constexpr nanoseconds moment{1000};

// -- writing ------------------------------------------------------------------

/// Thread numbers: the kind above, then the track's number, and on links the
/// other node.
uint32_t thread_of(const track_spans& track, uint16_t peer) {
  auto is_link = track.kind == track_kind::sent
                 || track.kind == track_kind::arrived;
  return uint32_t(track.kind) << 20 | (is_link ? peer : track.number);
}

std::string name_of(const track_spans& track, uint16_t peer) {
  auto number = std::to_string(track.number);
  switch (track.kind) {
    case track_kind::lane:
      return "rank " + std::to_string(track.number / 4) + " lane "
             + std::to_string(track.number % 4);
    case track_kind::compute:
      return "rank " + number + " compute";
    case track_kind::copies:
      return "rank " + number + " copies";
    case track_kind::worker:
      return "worker " + number;
    case track_kind::sent:
      return "link to node " + std::to_string(peer);
    case track_kind::arrived:
      return "link from node " + std::to_string(peer);
  }
  return "";
}

/// Nanoseconds as the microseconds that the form wants.
std::string micros(nanoseconds x) {
  auto n = static_cast<long long>(x.count());
  return formatted("%lld.%03lld", n / 1000, n % 1000);
}

nanoseconds since_zero(clock::instant x) {
  return std::chrono::duration_cast<nanoseconds>(x.time_since_epoch());
}

class writer {
public:
  explicit writer(const std::filesystem::path& path) : out_(path) {
    out_.write(first_line);
  }

  void event(const std::string& line) {
    out_.write(is_first_ ? "\n" : ",\n");
    out_.write(line);
    is_first_ = false;
  }

  void label(const char* what, unsigned node, uint32_t thread,
             const nlohmann::json& args) {
    event(formatted("{\"name\":\"%s\",\"ph\":\"M\",\"pid\":%u,\"tid\":%u,",
                    what, node, thread)
          + "\"args\":" + args.dump() + "}");
  }

  result<void> close() {
    out_.write("\n");
    out_.write(last_line);
    out_.write("\n");
    return out_.close();
  }

private:
  output_file out_;
  bool is_first_ = true;
};

/// What the arrows of a dispatch have in common: the node of the experts. 16
/// hexadecimal digits: Perfetto passes over any other text.
std::string arrow_of(const span& x, node_id experts) {
  return formatted("%04x%x%04x%07x", unsigned(x.rank) & 0xffff,
                   unsigned(x.lane) & 0xf, unsigned(experts) & 0xffff,
                   unsigned(x.serial) & 0xfffffff);
}

void write_arrow(writer& to, const node_spans& node, uint32_t thread,
                 const span& x) {
  auto is_at_experts = x.what == span_kind::dispatch_arrived
                       || x.what == span_kind::rows
                       || x.what == span_kind::combine_sent;
  auto is_at_rank = x.what == span_kind::dispatch_sent
                    || x.what == span_kind::combine_arrived;
  auto is_own = x.what == span_kind::rows && x.peer == node.node;
  if ((!is_at_experts && !is_at_rank) || is_own)
    return;
  auto phase = x.what == span_kind::dispatch_sent     ? 's'
               : x.what == span_kind::combine_arrived ? 'f'
                                                      : 't';
  to.event(formatted("{\"name\":\"rows\",\"cat\":\"rows\",\"ph\":\"%c\",%s"
                     "\"id\":\"%s\",\"pid\":%u,\"tid\":%u,\"ts\":%s}",
                     phase, phase == 'f' ? "\"bp\":\"e\"," : "",
                     arrow_of(x, is_at_rank ? x.peer : node.node).c_str(),
                     unsigned(node.node), thread,
                     micros(since_zero(x.begin)).c_str()));
}

/// `room`: until the next one of its thread begins.
void write_span(writer& to, const node_spans& node, uint32_t thread,
                const span& x, nanoseconds room) {
  auto took = std::max<nanoseconds>(x.end - x.begin, std::min(moment, room));
  to.event(
    formatted("{\"name\":\"%s %u\",\"ph\":\"X\",\"pid\":%u,\"tid\":%u,"
              "\"ts\":%s,\"dur\":%s,\"args\":{\"what\":%u,\"took\":%lld,"
              "\"rank\":%u,\"lane\":%u,\"layer\":%u,\"peer\":%u,\"step\":%u,"
              "\"serial\":%u,\"amount\":%u}}",
              std::string{to_string(x.what)}.c_str(), unsigned(x.lane),
              unsigned(node.node), thread, micros(since_zero(x.begin)).c_str(),
              micros(took).c_str(), unsigned(x.what),
              static_cast<long long>(nanoseconds{x.end - x.begin}.count()),
              unsigned(x.rank), unsigned(x.lane), unsigned(x.layer),
              unsigned(x.peer), x.step, x.serial, x.amount));
  write_arrow(to, node, thread, x);
}

void write_track(writer& to, const node_spans& node, track_spans track) {
  std::ranges::stable_sort(track.spans, {}, &span::begin);
  std::map<uint32_t, std::string> names;
  if (track.spans.empty())
    names[thread_of(track, 0)] = name_of(track, 0);
  for (auto& x : track.spans)
    names.try_emplace(thread_of(track, x.peer), name_of(track, x.peer));
  for (auto& [thread, name] : names)
    to.label("thread_name", node.node, thread, {{"name", name}});
  to.label("num_missing", node.node, thread_of(track, 0),
           {{"number", track.number},
            {"count", std::min(track.num_missing, uint64_t{UINT32_MAX})}});
  std::map<uint32_t, clock::instant> next; // begin, by thread
  std::vector<nanoseconds> room(track.spans.size());
  for (auto i = track.spans.size(); i-- > 0;) {
    auto& x = track.spans[i];
    auto found = next.try_emplace(thread_of(track, x.peer), x.begin + moment);
    room[i] = found.first->second - x.begin;
    found.first->second = x.begin;
  }
  for (size_t i = 0; i < track.spans.size(); ++i)
    write_span(to, node, thread_of(track, track.spans[i].peer), track.spans[i],
               room[i]);
}

void write_flights(writer& to, const std::vector<node_spans>& all) {
  size_t id = 0;
  for (auto& x : match_flights(all).flights) {
    auto is_dispatch = x.of.what == span_kind::dispatch_sent;
    auto half = [&](char phase, clock::instant when) {
      to.event(
        formatted("{\"name\":\"node %u to %u\",\"cat\":\"links\","
                  "\"ph\":\"%c\",\"id\":%zu,\"pid\":%u,\"tid\":0,\"ts\":%s,"
                  "\"args\":{\"class\":\"%s\",\"rank\":%u,\"lane\":%u,"
                  "\"layer\":%u,\"bytes\":%u}}",
                  unsigned(x.from), unsigned(x.to), phase, id, unsigned(x.from),
                  micros(since_zero(when)).c_str(),
                  is_dispatch ? "dispatch" : "combine", unsigned(x.of.rank),
                  unsigned(x.of.lane), unsigned(x.of.layer), x.of.amount));
    };
    half('b', x.sent);
    half('e', x.arrived);
    ++id;
  }
}

/// One after the other, each with what became of it, by its client's name.
void write_request(writer& to, node_id node, const request_span& x) {
  auto id = std::to_string(x.number);
  auto name = nlohmann::json(x.name.empty() ? "request " + id : x.name).dump();
  auto event = [&](char phase, clock::instant when, const std::string& what,
                   const std::string& args) {
    to.event("{\"name\":" + what + ",\"cat\":\"requests\","
             + formatted("\"ph\":\"%c\",\"id\":%s,\"pid\":%u,\"tid\":0,"
                         "\"ts\":%s",
                         phase, id.c_str(), unsigned(node),
                         micros(since_zero(when)).c_str())
             + args + "}");
  };
  event('b', x.begin, name,
        formatted(",\"args\":{\"request\":%s,\"prompt\":%u,\"answer\":%u}",
                  id.c_str(), x.num_prompt, x.num_answer));
  for (auto& y : x.owners)
    event('n', y.since, formatted("\"rank %u\"", unsigned(y.rank)), "");
  if (x.num_answer > 0)
    event('n', x.first_token, "\"first token\"", "");
  event('e', x.end, name, "");
}

// -- reading ------------------------------------------------------------------

class reader {
public:
  explicit reader(std::string name) : name_(std::move(name)) {
  }

  result<void> read(std::string_view line) {
    if (line.find("\"ph\":\"X\"") != line.npos)
      return read_span(line);
    if (line.find("\"ph\":\"M\"") != line.npos)
      return read_label(line);
    return {}; // for those who look at it
  }

  std::vector<node_spans> take() {
    std::vector<node_spans> out;
    for (auto& [id, x] : nodes_)
      out.push_back(std::move(x));
    return out;
  }

private:
  result<void> read_span(std::string_view line) {
    auto x = field_reader::parse(name_, line);
    if (!x)
      return x.why();
    auto args = x->object("args");
    if (!args)
      x->refuse("args", "must be an object");
    if (!x->trouble().empty())
      return failure{errc::invalid_input, x->trouble()};
    auto small = [&](const char* name) {
      return uint16_t(args->integer(name, 0, UINT16_MAX));
    };
    span s;
    auto& track = track_of(*x);
    auto begin = std::llround(x->number("ts", 0, max_microseconds) * 1000);
    auto took = args->whole("took", 0, uint64_t{1} << 60).value_or(0);
    s.begin = clock::instant{nanoseconds{begin}};
    s.end = s.begin + nanoseconds{int64_t(took)};
    s.what = span_kind(args->integer("what", 0, num_span_kinds - 1));
    s.lane = uint8_t(args->integer("lane", 0, UINT8_MAX));
    s.rank = small("rank");
    s.layer = small("layer");
    s.peer = small("peer");
    s.step = args->integer("step", 0, UINT32_MAX);
    s.serial = args->integer("serial", 0, UINT32_MAX);
    s.amount = args->integer("amount", 0, UINT32_MAX);
    x->absorb(*args);
    if (!x->trouble().empty())
      return failure{errc::invalid_input, x->trouble()};
    track.spans.push_back(s);
    return {};
  }

  result<void> read_label(std::string_view line) {
    auto x = field_reader::parse(name_, line);
    if (!x)
      return x.why();
    auto what = x->text("name");
    auto args = x->object("args");
    if (args && what == "process_name")
      node_of(*x).name = args->text_or("name", "");
    else if (args && what == "num_missing")
      track_of(*x).num_missing += args->integer("count", 0, UINT32_MAX);
    if (args)
      x->absorb(*args);
    if (!x->trouble().empty())
      return failure{errc::invalid_input, x->trouble()};
    return {};
  }

  node_spans& node_of(field_reader& x) {
    auto id = node_id(x.integer("pid", 0, UINT16_MAX));
    auto& out = nodes_[id];
    out.node = id;
    return out;
  }

  track_spans& track_of(field_reader& x) {
    auto& node = node_of(x);
    auto thread = x.integer("tid", 0, (num_track_kinds << 20) - 1);
    auto kind = track_kind(thread >> 20);
    auto is_link = kind == track_kind::sent || kind == track_kind::arrived;
    auto number = is_link ? 0 : thread & ((1u << 20) - 1);
    for (auto& t : node.tracks)
      if (t.kind == kind && t.number == number)
        return t;
    node.tracks.push_back({kind, number, 0, {}});
    return node.tracks.back();
  }

  const std::string name_;
  std::map<node_id, node_spans> nodes_;
};

/// As they were recorded: by end.
void restore_order(std::vector<node_spans>& all) {
  for (auto& node : all)
    for (auto& track : node.tracks)
      std::ranges::stable_sort(track.spans, {}, &span::end);
}

} // namespace

result<void> write_spans(const std::filesystem::path& path,
                         const std::vector<node_spans>& all) {
  writer to{path};
  for (auto& node : all) {
    to.label("process_name", node.node, 0, {{"name", node.name}});
    to.label("process_sort_index", node.node, 0, {{"sort_index", node.node}});
    for (auto& track : node.tracks)
      write_track(to, node, track);
    for (auto& x : node.requests)
      write_request(to, node.node, x);
  }
  write_flights(to, all);
  return to.close();
}

result<std::vector<node_spans>> read_spans(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in)
    return failure{errc::not_found, path.string() + ": there is no such file"};
  std::string line;
  std::getline(in, line);
  if (line != first_line)
    return failure{errc::invalid_input,
                   path.string() + ": no trace that --trace has written"};
  reader out{path.string()};
  while (std::getline(in, line) && line != last_line) {
    if (line.ends_with(','))
      line.pop_back();
    if (line.size() > max_line)
      return failure{errc::invalid_input, path.string() + ": a line too long"};
    if (auto ok = out.read(line); !ok)
      return ok.why();
  }
  if (line != last_line)
    return failure{errc::invalid_input, path.string() + ": it is not whole"};
  auto all = out.take();
  restore_order(all);
  return all;
}

} // namespace troupe
