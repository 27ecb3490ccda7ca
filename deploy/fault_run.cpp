#include "deploy/fault_run.hpp"

#include "kernels/check.hpp"
#include "runtime/sim/fault_plan.hpp"
#include "runtime/sim/random_faults.hpp"

#include <algorithm>
#include <limits>

namespace troupe {

namespace {

/// Events between two calls of act().
constexpr size_t max_events = 1 << 16;

std::vector<std::string> names_of(const topology& cluster) {
  std::vector<std::string> out;
  for (auto& node : cluster.nodes)
    out.push_back(node.name);
  return out;
}

/// Whom the seed means by "any": not the first node where a process is meant,
/// since that one carries the faults out.
std::vector<fault> draw(const std::vector<fault>& plan, uint64_t seed,
                        const std::vector<std::string>& nodes) {
  run_facts all;
  all.nodes = nodes;
  auto out = draw_targets(plan, seed, all);
  auto children = all;
  children.nodes.erase(children.nodes.begin());
  if (children.nodes.empty())
    return out;
  auto paused = draw_targets(plan, seed, children);
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i].kind == fault_kind::pause)
      out[i].node = paused[i].node;
  return out;
}

} // namespace

/// Children by their place in the topology, behind channels; the first node's
/// links directly.
class fault_run::real_world final : public live_world {
public:
  real_world(std::shared_ptr<link_faults> links,
             std::vector<word_channel> channels, size_t num_children)
    : own_(std::move(links)), channels_(std::move(channels)),
      num_children_(num_children) {
  }

  void attach(local_nodes* nodes) {
    nodes_ = nodes;
  }

  bool is_child(node_id node) const override {
    return node >= 1 && node <= num_children_;
  }

  bool send_signal(node_id node, int which) override {
    return nodes_ && nodes_->send_signal(node - 1, which);
  }

  process_state state_of(node_id node) override {
    auto letter = nodes_ ? nodes_->state_of(node - 1) : std::nullopt;
    if (!letter || *letter == 'Z' || *letter == 'X')
      return process_state::is_gone;
    return *letter == 'T' ? process_state::is_stopped : process_state::runs;
  }

  bool order(node_id node, const link_order& x) override {
    if (node == 0) {
      own_.obey(x);
      return true;
    }
    return state_of(node) != process_state::is_gone
           && channels_.at(node - 1).say(render(x));
  }

  std::vector<link_effect> news() override {
    std::vector<link_effect> out;
    own_.act([&](auto& effect) {
      out.push_back(effect);
      return true;
    });
    for (auto& channel : channels_)
      while (auto word = channel.hear())
        if (auto effect = parse_link_effect(*word))
          out.push_back(*effect);
    return out;
  }

private:
  link_servant own_;
  const std::vector<word_channel> channels_;
  const size_t num_children_;
  local_nodes* nodes_ = nullptr;
};

fault_run::fault_run(std::vector<std::string> nodes, const clock& time,
                     const logger& log)
  : nodes_(std::move(nodes)), time_(time), log_(log) {
}

fault_run::~fault_run() = default;

result<std::unique_ptr<fault_run>>
fault_run::open(const std::filesystem::path& plan, uint64_t seed,
                const topology& cluster, bool has_children, const clock& time,
                const logger& log) {
  std::unique_ptr<fault_run> out{new fault_run{names_of(cluster), time, log}};
  if (auto ok = out->prepare(plan, seed, has_children); !ok)
    return ok.why();
  return out;
}

result<void> fault_run::prepare(const std::filesystem::path& path,
                                uint64_t seed, bool has_children) {
  // How many requests there will be nobody knows; what befalls one is refused
  // with what else cannot happen here.
  auto plan = read_fault_plan(path,
                              {nodes_, std::numeric_limits<uint32_t>::max()});
  if (!plan)
    return plan.why();
  plan_ = draw(*plan, seed, nodes_);
  seed_ = seed;
  wiring_.links = std::make_shared<link_faults>(time_, [this](node_id peer,
                                                              bool has_joined) {
    note({.kind = has_joined ? trace_kind::peer_joined : trace_kind::peer_lost,
          .node = 0,
          .peer = peer});
  });
  std::vector<word_channel> ours;
  for (size_t i = 1; has_children && i < nodes_.size(); ++i) {
    auto made = word_channel::make();
    if (!made)
      return made.why();
    ours.push_back(std::move(made->first));
    theirs_.push_back(std::move(made->second));
    wiring_.inherited.push_back(theirs_.back().fd());
  }
  auto num_children = ours.size();
  world_ = std::make_unique<real_world>(wiring_.links, std::move(ours),
                                        num_children);
  target_ = std::make_unique<live_faults>(nodes_, *world_, log_);
  return check_live_plan(plan_, nodes_, *world_);
}

const fault_wiring& fault_run::wiring() const {
  return wiring_;
}

void fault_run::attach(local_nodes* nodes) {
  world_->attach(nodes);
}

service& fault_run::watch(service& inner) {
  noting_ = std::make_unique<noting_service>(
    inner, [this](auto& event) { note(event); });
  return *noting_;
}

void fault_run::begin() {
  {
    std::lock_guard lock{mutex_};
    events_.clear(); // of the start, which nothing counts from
    num_unheard_ = 0;
  }
  driver_ = std::make_unique<fault_driver>(plan_, nodes_, time_.now(), seed_,
                                           *target_);
}

void fault_run::note(trace_entry x) {
  std::lock_guard lock{mutex_};
  if (events_.size() < max_events)
    events_.push_back(x);
  else
    ++num_unheard_;
}

void fault_run::hear() {
  std::vector<trace_entry> events;
  uint64_t num_unheard = 0;
  {
    std::lock_guard lock{mutex_};
    events = std::exchange(events_, {});
    num_unheard = std::exchange(num_unheard_, 0);
  }
  for (auto& event : events)
    driver_->hear(event);
  if (num_unheard > 0)
    log_.warning(std::to_string(num_unheard)
                 + " events came too fast to be counted");
}

/// What a child has not heard by its end, its successor is not to.
void fault_run::forget_unheard() {
  for (size_t i = 0; i < theirs_.size(); ++i)
    if (world_->state_of(node_id(i + 1)) == process_state::is_gone)
      while (theirs_[i].hear())
        continue;
}

void fault_run::act() {
  forget_unheard();
  if (driver_) {
    hear();
    if (auto now = time_.now(); driver_->is_due(now))
      driver_->act(now);
  }
  target_->look();
  auto active = target_->active();
  std::lock_guard lock{mutex_};
  active_ = std::move(active);
}

/// Whether that is no trouble.
bool fault_run::never_began() const {
  auto holds = std::ranges::none_of(plan_, &fault::must_happen);
  if (!holds)
    log_.warning("no fault has happened: the cluster did not serve");
  return holds;
}

bool fault_run::end() {
  if (!driver_)
    return never_began();
  driver_->stop(time_.now());
  target_->look();
  auto holds = true;
  for (auto& x : driver_->reports()) {
    if (x.outcome == fault_outcome::happened)
      continue;
    holds &= !x.fails();
    log_.warning("fault that has not happened: " + x.why);
  }
  driver_.reset();
  world_->attach(nullptr);
  if (holds)
    log_.warning("every fault that must happen has happened");
  return holds;
}

std::vector<std::string> fault_run::active() const {
  std::lock_guard lock{mutex_};
  return active_;
}

} // namespace troupe
