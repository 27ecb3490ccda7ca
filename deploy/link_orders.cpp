#include "deploy/link_orders.hpp"

#include <array>
#include <sstream>

namespace troupe {

namespace {

constexpr std::array<std::string_view, 3> verbs = {"begin", "heal", "reset"};

template <class Enum>
bool read_enum(std::istream& in, Enum last, Enum& to) {
  unsigned number = 0;
  if (!(in >> number) || number > unsigned(last))
    return false;
  to = Enum(number);
  return true;
}

bool read_rule(std::istream& in, link_rule& to) {
  int64_t extra = 0;
  auto is_read = read_enum(in, link_rule::kind::rate, to.what)
                 && bool(in >> to.peer)
                 && read_enum(in, frame_filter::heartbeat, to.which)
                 && bool(in >> extra >> to.bytes_per_second);
  to.extra = std::chrono::nanoseconds{extra};
  auto needs_rate = to.what == link_rule::kind::rate;
  return is_read && (!needs_rate || to.bytes_per_second > 0);
}

bool is_at_end(std::istream& in) {
  std::string rest;
  return !(in >> rest);
}

} // namespace

std::string render(const link_order& x) {
  std::ostringstream out;
  out << verbs.at(size_t(x.what)) << ' ' << x.id;
  if (x.what == link_order::kind::begin)
    out << ' ' << unsigned(x.rule.what) << ' ' << x.rule.peer << ' '
        << unsigned(x.rule.which) << ' ' << x.rule.extra.count() << ' '
        << x.rule.bytes_per_second;
  if (x.what == link_order::kind::reset)
    out << ' ' << x.rule.peer;
  return out.str();
}

std::string render(const link_effect& x) {
  return "did " + std::to_string(x.id) + " " + std::to_string(x.count);
}

std::optional<link_order> parse_link_order(std::string_view text) {
  std::istringstream in{std::string{text}};
  std::string verb;
  link_order out;
  if (!(in >> verb >> out.id))
    return std::nullopt;
  for (size_t i = 0; i < verbs.size(); ++i) {
    if (verb != verbs[i])
      continue;
    out.what = link_order::kind(i);
    auto is_read = out.what == link_order::kind::heal
                   || (out.what == link_order::kind::begin
                         ? read_rule(in, out.rule)
                         : bool(in >> out.rule.peer));
    if (is_read && is_at_end(in))
      return out;
  }
  return std::nullopt;
}

std::optional<link_effect> parse_link_effect(std::string_view text) {
  std::istringstream in{std::string{text}};
  std::string verb;
  link_effect out;
  if (in >> verb >> out.id >> out.count && verb == "did" && is_at_end(in))
    return out;
  return std::nullopt;
}

link_servant::link_servant(std::shared_ptr<link_faults> links)
  : links_(std::move(links)) {
}

void link_servant::obey(const link_order& x) {
  switch (x.what) {
    case link_order::kind::begin:
      duties_[x.id] = {links_->begin(x.rule), 0};
      return;
    case link_order::kind::heal:
      if (auto at = duties_.find(x.id); at != duties_.end())
        links_->heal(at->second.rule);
      return;
    case link_order::kind::reset:
      if (links_->reset(x.rule.peer))
        news_.push_back({x.id, 1});
  }
}

void link_servant::act(const std::function<bool(const link_effect&)>& tell) {
  links_->release();
  std::erase_if(news_, [&](auto& x) { return tell(x); });
  for (auto& [id, duty] : duties_)
    if (auto count = links_->num_hit(duty.rule);
        count > duty.num_told && tell({id, count}))
      duty.num_told = count;
}

} // namespace troupe
