#include "runtime/sim/fault_plan.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/duration.hpp"
#include "runtime/toml/table_reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace troupe {

namespace {

constexpr uint64_t max_file_bytes = 1 << 20;
constexpr size_t max_faults = 1024;
constexpr uint32_t max_times = 1024;
constexpr double max_factor = 1e6;
constexpr const char* table_kind = "a fault";

std::string as_text(std::string_view x) {
  return std::string{x};
}

/// Reads one table; what is wrong is the reader's complaint.
class fault_reader {
public:
  fault_reader(table_reader& in, const plan_scope& scope)
    : in_(in), scope_(scope) {
  }

  fault read() {
    if (!read_kind())
      return {};
    read_target();
    read_parameter();
    read_class();
    read_trigger();
    read_end();
    read_chance();
    in_.read("must_happen", out_.must_happen);
    return out_;
  }

private:
  const fault_form& form() const {
    return form_of(out_.kind);
  }

  bool read_kind() {
    const fault_form* found = nullptr;
    for (auto& form : fault_forms()) {
      if (!in_.has(form.name))
        continue;
      if (found)
        in_.complain(form.name,
                     "cannot be in one table with " + as_text(found->name));
      found = &form;
    }
    refuse_unknown();
    if (!found)
      in_.complain("kill", "or another fault is needed, the table has none");
    else
      out_.kind = found->kind;
    return found && in_.complaint().empty();
  }

  void refuse_unknown() {
    std::vector<std::string_view> keys{
      "factor",     "extra", "bytes_per_second",
      "nth",        "pace",  "p",
      "class",      "at",    "on",
      "every",      "times", "for",
      "must_happen"};
    for (auto& form : fault_forms())
      keys.push_back(form.name);
    in_.allow_only(keys, table_kind);
  }

  // -- whom -------------------------------------------------------------------

  void read_target() {
    switch (form().target) {
      case fault_target_kind::node:
        in_.read(form().name, out_.node);
        return check_node(form().name, out_.node);
      case fault_target_kind::link:
        return read_link();
      case fault_target_kind::request:
        return read_request();
    }
  }

  void check_node(std::string_view key, const std::string& name) {
    auto& nodes = scope_.nodes;
    if (name != any_name
        && std::find(nodes.begin(), nodes.end(), name) == nodes.end())
      in_.complain(key, "names \"" + name + "\", which is no node");
  }

  void read_link() {
    auto list = in_.find(form().name)->as_array();
    auto is_text = [](auto& x) { return x.is_string(); };
    if (!list || list->size() != 2
        || !std::all_of(list->begin(), list->end(), is_text))
      return in_.complain(form().name, "must be a list of two nodes");
    out_.node = *list->get(0)->value<std::string>();
    out_.peer = *list->get(1)->value<std::string>();
    check_node(form().name, out_.node);
    check_node(form().name, out_.peer);
    if (out_.node == out_.peer && out_.node != any_name)
      in_.complain(form().name, "must name two different nodes");
  }

  void read_request() {
    auto node = in_.find(form().name);
    if (auto name = node->value_exact<std::string>(); name == any_name)
      return;
    auto number = table_reader::number(*node);
    if (!number)
      return in_.complain(form().name, "must be a request's number or \"any\"");
    if (*number >= scope_.num_requests)
      in_.complain(form().name, "must be below "
                                  + std::to_string(scope_.num_requests)
                                  + ", the number of requests");
    out_.request = number;
  }

  // -- what -------------------------------------------------------------------

  /// Says whether `key` is there, and complains if it should not or should.
  bool expects(std::string_view key, bool is_needed, std::string_view why) {
    if (is_needed && !in_.has(key))
      in_.complain(key, "is needed: " + as_text(why));
    if (!is_needed && in_.has(key))
      in_.complain(key, "is not for " + as_text(form().name));
    return is_needed && in_.has(key);
  }

  void read_parameter() {
    using p = fault_parameter;
    auto is = [this](p x) { return form().parameter == x; };
    if (expects("factor", is(p::factor), "how many times slower")) {
      in_.read("factor", out_.factor);
      if (!(out_.factor > 1 && out_.factor <= max_factor))
        in_.complain("factor", "must be above 1 and at most 1000000");
    }
    if (expects("extra", is(p::extra), "how much later"))
      read_span("extra", out_.extra, 1);
    if (expects("pace", is(p::pace), "how long the client takes"))
      read_span("pace", out_.pace, 1);
    if (expects("bytes_per_second", is(p::bytes_per_second), "what passes"))
      read_count("bytes_per_second", out_.bytes_per_second);
    if (expects("nth", is(p::nth), "which call fails"))
      read_count("nth", out_.nth);
  }

  void read_count(std::string_view key, uint64_t& out) {
    in_.read(key, out);
    if (out == 0)
      in_.complain(key, "must be at least 1");
  }

  void read_span(std::string_view key, virtual_duration& out, int64_t least) {
    if (!in_.has(key))
      return in_.complain(key, duration_form);
    in_.read(key, out);
    if (out.count() < least)
      in_.complain(key, "must be above 0");
  }

  void read_class() {
    if (!in_.has("class"))
      return;
    std::string name;
    in_.read("class", name);
    auto filter = parse_frame_filter(name);
    if (!form().by_class)
      in_.complain("class", "is not for " + as_text(form().name));
    else if (!filter || *filter == frame_filter::all)
      in_.complain("class", "must be rows, control, bulk or heartbeat");
    else
      out_.frames = *filter;
  }

  // -- when -------------------------------------------------------------------

  void read_trigger() {
    constexpr std::array keys{"at", "on", "every"};
    int found = -1;
    for (int i = 0; i < int(keys.size()); ++i) {
      if (!in_.has(keys[i]))
        continue;
      if (found >= 0)
        in_.complain(keys[i],
                     "cannot be in one table with " + as_text(keys[found]));
      found = i;
    }
    if (found < 0)
      return in_.complain("at", "or on or every is needed: when it begins");
    out_.trigger = fault_trigger(found);
    if (out_.trigger == fault_trigger::at)
      read_span("at", out_.at, 0);
    else if (out_.trigger == fault_trigger::on)
      read_event();
    read_rhythm();
  }

  void read_event() {
    auto table = in_.child("on");
    if (!table)
      return;
    table_reader event{*table, in_.source(), in_.name() + ".on"};
    event.allow_only({"event", "nth", "node"}, "an event");
    std::string name;
    event.read("event", name);
    event.read("nth", out_.nth_event);
    event.read("node", out_.event_node);
    auto& nodes = scope_.nodes;
    if (auto kind = parse_trace_kind(name))
      out_.event = *kind;
    else
      event.complain("event", "must be a kind of event, such as frame_sent");
    if (out_.nth_event == 0)
      event.complain("nth", "must be at least 1");
    if (event.has("node")
        && std::find(nodes.begin(), nodes.end(), out_.event_node)
             == nodes.end())
      event.complain("node",
                     "names \"" + out_.event_node + "\", which is no node");
    in_.absorb(event);
  }

  void read_rhythm() {
    auto repeats = out_.trigger == fault_trigger::every;
    if (repeats)
      read_span("every", out_.every, 1);
    if (!repeats && in_.has("times"))
      return in_.complain("times", "is only for every");
    if (repeats && !in_.has("times"))
      return in_.complain("times", "is needed: how often");
    in_.read("times", out_.times);
    if (out_.times == 0 || out_.times > max_times)
      in_.complain("times", "must be from 1 to " + std::to_string(max_times));
  }

  void read_end() {
    auto is_needed = !may_end(out_.kind) || form().lasts;
    if (is_needed && !expects("for", form().lasts, "how long it lasts"))
      return;
    if (!in_.has("for"))
      return;
    read_span("for", out_.lasts, 1);
    if (out_.trigger == fault_trigger::every && out_.lasts >= out_.every)
      in_.complain("for", "must be shorter than every");
  }

  void read_chance() {
    if (form().parameter == fault_parameter::share)
      expects("p", true, "the chance of each frame");
    in_.read("p", out_.p);
    if (!(out_.p > 0 && out_.p <= 1))
      in_.complain("p", "must be above 0 and at most 1");
  }

  table_reader& in_;
  const plan_scope& scope_;
  fault out_;
};

// -- writing ------------------------------------------------------------------

/// The shortest text that reads back to the same.
std::string number_text(double x) {
  char text[32];
  auto end = std::to_chars(text, text + sizeof text, x).ptr;
  return {text, end};
}

std::string span_text(virtual_duration x) {
  return "\"" + render_duration(x) + "\"";
}

std::string target_text(const fault& x) {
  switch (form_of(x.kind).target) {
    case fault_target_kind::node:
      return quoted(x.node);
    case fault_target_kind::link:
      return "[" + quoted(x.node) + ", " + quoted(x.peer) + "]";
    case fault_target_kind::request:
      break;
  }
  return x.request ? std::to_string(*x.request)
                   : "\"" + std::string{any_name} + "\"";
}

std::string parameter_text(const fault& x) {
  switch (form_of(x.kind).parameter) {
    case fault_parameter::factor:
      return "factor = " + number_text(x.factor) + "\n";
    case fault_parameter::extra:
      return "extra = " + span_text(x.extra) + "\n";
    case fault_parameter::bytes_per_second:
      return "bytes_per_second = " + std::to_string(x.bytes_per_second) + "\n";
    case fault_parameter::nth:
      return "nth = " + std::to_string(x.nth) + "\n";
    case fault_parameter::pace:
      return "pace = " + span_text(x.pace) + "\n";
    case fault_parameter::share: // written with the chances
    case fault_parameter::none:
      break;
  }
  return {};
}

std::string trigger_text(const fault& x) {
  switch (x.trigger) {
    case fault_trigger::at:
      return "at = " + span_text(x.at) + "\n";
    case fault_trigger::every:
      return "every = " + span_text(x.every)
             + "\ntimes = " + std::to_string(x.times) + "\n";
    case fault_trigger::on:
      break;
  }
  auto out = "on = { event = \"" + std::string{to_string(x.event)}
             + "\", nth = " + std::to_string(x.nth_event);
  if (!x.event_node.empty())
    out += ", node = " + quoted(x.event_node);
  return out + " }\n";
}

std::string table_text(const fault& x) {
  auto& form = form_of(x.kind);
  auto out = "[[fault]]\n" + std::string{form.name} + " = " + target_text(x)
             + "\n" + parameter_text(x);
  if (x.frames != frame_filter::all)
    out += "class = \"" + std::string{to_string(x.frames)} + "\"\n";
  out += trigger_text(x);
  if (x.lasts.count() > 0)
    out += "for = " + span_text(x.lasts) + "\n";
  if (x.p < 1 || form.parameter == fault_parameter::share)
    out += "p = " + number_text(x.p) + "\n";
  if (!x.must_happen)
    out += "must_happen = false\n";
  return out;
}

} // namespace

result<std::vector<fault>> parse_fault_plan(std::string_view text,
                                            std::string_view source_name,
                                            const plan_scope& scope) {
  auto root = parse_toml(text, source_name);
  if (!root)
    return root.why();
  std::string source{source_name};
  table_reader in{*root, source};
  in.allow_only({"fault"}, "a fault plan");
  auto list = root->get_as<toml::array>("fault");
  if (in.has("fault") && (!list || list->size() > max_faults))
    in.complain("fault", "must be a list of at most 1024 tables");
  std::vector<fault> out;
  for (size_t i = 0; list && i < list->size() && in.complaint().empty(); ++i) {
    auto name = "fault[" + std::to_string(i) + "]";
    if (!list->get(i)->is_table()) {
      in.complain(name, "must be a table");
      break;
    }
    table_reader table{*list->get(i)->as_table(), source, name};
    out.push_back(fault_reader{table, scope}.read());
    in.absorb(table);
  }
  if (!in.complaint().empty())
    return failure{errc::invalid_input, in.complaint()};
  return out;
}

result<std::vector<fault>> read_fault_plan(const std::filesystem::path& path,
                                           const plan_scope& scope) {
  auto text = read_regular_file(path, max_file_bytes);
  if (!text)
    return text.why();
  return parse_fault_plan(*text, path.string(), scope);
}

std::string render(const std::vector<fault>& plan) {
  std::string out;
  for (auto& x : plan)
    out += (out.empty() ? "" : "\n") + table_text(x);
  return out;
}

} // namespace troupe
