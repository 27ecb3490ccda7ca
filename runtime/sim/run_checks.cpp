#include "runtime/sim/run_checks.hpp"

#include "kernels/check.hpp"
#include "runtime/duration.hpp"

#include <algorithm>
#include <sstream>

namespace troupe {

std::string to_string(const violation& x) {
  return "I" + std::to_string(x.invariant) + ": " + x.what;
}

run_checks::run_checks(uint32_t num_nodes, uint32_t num_requests,
                       virtual_duration patience)
  : requests_(num_requests), nodes_(num_nodes), patience_(patience) {
  for (auto& x : nodes_)
    x.peers.resize(num_nodes);
}

template <class... Parts>
void run_checks::violate(uint32_t invariant, const Parts&... parts) {
  if (++num_violations_ > max_kept)
    return;
  std::ostringstream out;
  (out << ... << parts);
  violations_.push_back({invariant, now_, out.str()});
}

// -- requests -----------------------------------------------------------------

void run_checks::expect(uint32_t request, expected_answer answer) {
  auto& x = requests_.at(request);
  x.expected = std::move(answer);
  x.is_known = true;
}

void run_checks::expect_refusal(uint32_t request) {
  requests_.at(request).must_be_refused = true;
}

void run_checks::expect_rank(uint32_t request, uint32_t rank) {
  requests_.at(request).wanted_rank = rank;
}

void run_checks::asked(uint32_t request) {
  auto& x = requests_.at(request);
  CHECK(x.at == stage::unknown);
  x.at = stage::asked;
  x.since = now_;
}

void run_checks::accepted(uint32_t request) {
  auto& x = requests_.at(request);
  if (x.must_be_refused)
    violate(11, "request ", request, " makes no sense and was accepted");
  // Its end may be quicker than the word that it was accepted.
  if (x.at == stage::asked)
    x.at = stage::accepted;
  else if (x.at != stage::ended)
    violate(1, "request ", request, " was accepted without being asked");
}

void run_checks::refused(uint32_t request, const failure& why) {
  auto& x = requests_.at(request);
  if (x.at != stage::asked)
    return violate(1, "request ", request,
                   " was refused after it was accepted: ", why.message);
  x.at = stage::refused;
  auto is_input = why.code == errc::invalid_input
                  || why.code == errc::context_too_long;
  // Nobody looks at bad input where nobody is.
  auto is_unread = x.must_be_refused && why.code == errc::peer_lost;
  if (is_input != x.must_be_refused && !is_unread)
    violate(11, "request ", request, is_input ? " makes sense" : " makes none",
            " and was refused with ", to_string(why.code), ": ", why.message);
  else if (why.code == errc::cancelled && x.is_cancelled)
    return; // it has gone before it could ask
  else if (!is_input && why.code != errc::overloaded && !may_have_lost_a_node())
    violate(1, "request ", request, " was refused with ", to_string(why.code),
            ", and no fault can have cost a node: ", why.message);
}

void run_checks::cancel_asked(uint32_t request) {
  requests_.at(request).is_cancelled = true;
}

void run_checks::owned(uint32_t request, uint32_t rank, uint64_t term) {
  auto& x = requests_.at(request);
  if (x.rank && term < x.term)
    return violate(4, "request ", request, " goes to rank ", rank, " in term ",
                   term, ", and its term is ", x.term);
  if (x.rank && term == x.term && rank != *x.rank)
    return violate(4, "ranks ", *x.rank, " and ", rank, " both own request ",
                   request, " in term ", term);
  x.rank = rank;
  x.term = term;
}

void run_checks::heard(uint32_t request, const generation_event& event) {
  auto& x = requests_.at(request);
  if (x.at == stage::ended)
    return violate(3, "request ", request, " is heard of after its end");
  if (x.at != stage::asked && x.at != stage::accepted)
    return violate(3, "request ", request, " is heard of and was not accepted");
  hear_tokens(request, event);
  if (event.finish != finish_reason::none)
    hear_end(request, event);
}

void run_checks::hear_tokens(uint32_t request, const generation_event& event) {
  auto& x = requests_[request];
  auto position = event.first_position;
  for (auto token : event.tokens) {
    if (position < x.num_tokens)
      violate(3, "request ", request, " gives position ", position, " twice");
    else if (position > x.num_tokens)
      violate(3, "request ", request, " gives position ", position,
              " after it has given ", x.num_tokens);
    auto& all = x.expected.tokens;
    if (x.is_known && position >= all.size())
      violate(2, "request ", request, " gives a token at position ", position,
              ", and the plain path gives ", all.size());
    else if (x.is_known && token != all[position])
      violate(2, "request ", request, " gives token ", token, " at position ",
              position, ", and the plain path gives ", all[position]);
    x.num_tokens = std::max(x.num_tokens, ++position);
  }
  hear_logits(request, event);
}

/// Equal bits, not only equal choices.
void run_checks::hear_logits(uint32_t request, const generation_event& event) {
  auto& known = requests_[request].expected.logits;
  auto count = event.tokens.size();
  if (known.empty() || event.logits.empty() || count == 0)
    return;
  std::span all{event.logits};
  auto vocab = all.size() / count;
  for (size_t i = 0; i < count; ++i)
    if (auto at = event.first_position + i;
        at < known.size()
        && logits_hash(all.subspan(i * vocab, vocab)) != known[at])
      violate(2, "request ", request, " has other logits at position ", at,
              " than the plain path");
}

void run_checks::hear_end(uint32_t request, const generation_event& event) {
  auto& x = requests_[request];
  x.at = stage::ended;
  if (event.finish != finish_reason::failed)
    return hear_complete(request, event.finish);
  if (!event.cause || event.cause->message.empty())
    return violate(1, "request ", request, " failed and does not say why");
  auto& why = *event.cause;
  if (why.code == errc::cancelled) {
    if (!x.is_cancelled)
      violate(1, "request ", request,
              " ended as cancelled, and nobody has cancelled it");
  } else if (!may_have_lost_a_node()) {
    violate(1, "request ", request, " ended with ", to_string(why.code),
            ", and no fault can have cost a node: ", why.message);
  } else if (why.code == errc::step_failed && !has_failed_device_) {
    violate(1, "request ", request, " ended with step_failed, and no device ",
            "has failed: ", why.message);
  } else if (!needs_.ranks.empty()) {
    hear_loss(request, why);
  }
}

void run_checks::hear_loss(uint32_t request, const failure& why) {
  auto& x = requests_[request];
  if (why.code == errc::peer_lost && !is_past_help(x))
    violate(1, "request ", request, " ended, and others could have gone on ",
            "with it: ", why.message);
  if (why.code == errc::quarantined && x.term < 2)
    violate(1, "request ", request,
            " is quarantined, and has had one rank: ", why.message);
}

/// Whether nobody is left who could go on with a request.
bool run_checks::is_past_help(const request_state& x) const {
  if (front_is_over_)
    return true;
  for (node_id n = 0; n < needs_.ranks.size(); ++n)
    for (auto rank : needs_.ranks[n])
      if (!lost_.contains(n) && x.wanted_rank.value_or(rank) == rank
          && needs_.has_experts_without(rank, lost_))
        return false;
  return true;
}

void run_checks::hear_complete(uint32_t request, finish_reason finish) {
  auto& x = requests_[request];
  auto& expected = x.expected;
  if (!x.is_known)
    return;
  if (x.num_tokens < expected.tokens.size())
    violate(2, "request ", request, " is complete with ", x.num_tokens,
            " tokens, and the plain path gives ", expected.tokens.size());
  else if (finish != expected.finish)
    violate(2, "request ", request, " ends by ",
            finish == finish_reason::stop ? "its end token" : "its length",
            ", and the plain path does not");
}

// -- nodes --------------------------------------------------------------------

/// A new process knows nothing of whom the last one has given up.
void run_checks::node_began(node_id node) {
  if (node == 0) {
    front_is_over_ = false;
    lost_.clear();
  }
  nodes_.at(node).placements.clear();
  for (auto& x : nodes_.at(node).peers)
    x = {};
}

void run_checks::node_lost(node_id node) {
  lost_.insert(node);
}

void run_checks::node_back(node_id node) {
  if (lost_.erase(node) == 0)
    violate(10, "node ", node, " is back, and was not lost");
}

void run_checks::node_ended(node_id node, bool was_told) {
  if (node == 0)
    front_is_over_ = true;
  if (!may_have_lost_a_node() && !was_told)
    violate(11, "node ", node, " has ended, and no fault wanted it");
}

void run_checks::view_seen(node_id by, uint64_t view, uint64_t epoch) {
  auto& x = nodes_.at(by);
  if (view < x.view)
    violate(7, "node ", by, " goes back from view ", x.view, " to ", view);
  if (epoch < x.epoch)
    violate(7, "node ", by, " goes back from epoch ", x.epoch, " to ", epoch);
  x.view = view;
  x.epoch = epoch;
}

void run_checks::view_judged(node_id by, uint64_t view, uint64_t kept,
                             bool is_in_it) {
  if (view > kept)
    violate(7, "node ", by, " knows view ", view, ", and the last one kept is ",
            kept);
  if (!is_in_it)
    violate(7, "node ", by, " was told of view ", view,
            ", in which it is absent");
}

void run_checks::placement_seen(node_id by, uint32_t unit, uint64_t epoch) {
  auto& last = nodes_.at(by).placements[unit];
  if (epoch < last)
    violate(7, "node ", by, " goes back from the placement of epoch ", last,
            " to that of ", epoch);
  last = epoch;
}

void run_checks::expert_missing(std::string_view what) {
  violate(5, what);
}

void run_checks::incarnation_seen(node_id by, node_id peer,
                                  uint64_t incarnation) {
  auto& x = nodes_.at(by).peers.at(peer);
  if (x.incarnation == incarnation)
    return;
  if (std::find(x.over.begin(), x.over.end(), incarnation) != x.over.end())
    violate(7, "node ", by, " goes back to a process of node ", peer,
            " that is over for it: ", incarnation);
  if (x.incarnation != 0)
    x.over.push_back(x.incarnation);
  x.incarnation = incarnation;
}

void run_checks::incarnation_over(node_id by, node_id peer,
                                  uint64_t incarnation) {
  auto& x = nodes_.at(by).peers.at(peer);
  if (x.incarnation == incarnation)
    x.incarnation = 0;
  x.over.push_back(incarnation);
}

// -- bytes --------------------------------------------------------------------

void run_checks::queue_seen(node_id node, std::string_view what, uint64_t size,
                            uint64_t limit) {
  if (size > limit)
    violate(9, what, " of node ", node, " holds ", size, ", its limit is ",
            limit);
}

void run_checks::resource_seen(node_id node, std::string_view what,
                               uint64_t free, uint64_t used, uint64_t total) {
  if (free + used != total)
    violate(8, what, " of node ", node, ": ", free, " are free and ", used,
            " in use, of ", total);
}

void run_checks::resource_at_rest(node_id node, std::string_view what,
                                  uint64_t free, uint64_t total) {
  if (free != total)
    violate(8, what, " of node ", node, ": ", free, " of ", total,
            " are free at rest");
}

void run_checks::block_written(node_id node, uint32_t block, bool is_held) {
  if (!is_held)
    violate(6, "a rank of node ", node, " writes to cache block ", block,
            ", which is free");
}

void run_checks::events_refused(uint64_t num) {
  if (num > 0)
    violate(4, "ranks have said ", num,
            " events twice, out of turn or of requests of others");
}

void run_checks::frame_damaged(node_id node, bool is_explained) {
  if (!is_explained)
    violate(6, "node ", node, " got a damaged frame, and no fault damaged it");
}

void run_checks::stream_failed(node_id node, bool is_explained,
                               std::string_view why) {
  if (!is_explained)
    return violate(6, "a stream of node ", node,
                   " failed, and no fault explains it: ", why);
  has_failed_device_ = true;
  harm_done();
}

// -- phases -------------------------------------------------------------------

void run_checks::fault_began(const fault& x) {
  is_broken_ = is_broken_ || breaks_a_node(x);
  silence_ += silence_of(x);
}

void run_checks::finish() {
  for (size_t i = 0; i < requests_.size(); ++i) {
    auto& x = requests_[i];
    if (x.at == stage::accepted)
      violate(1, "request ", i, " was asked ", render_duration(now_ - x.since),
              " ago and has never ended");
    else if (x.at == stage::asked)
      violate(1, "request ", i, " was asked, and neither accepted nor refused");
  }
}

bool run_checks::may_have_lost_a_node() const {
  return is_broken_ || (silence_.count() > 0 && silence_ >= patience_);
}

std::optional<violation> compare_traces(uint64_t first, uint64_t second) {
  if (first == second)
    return std::nullopt;
  std::ostringstream out;
  out << std::hex << "two runs of one seed have the traces " << first << " and "
      << second;
  return violation{12, world_begin, out.str()};
}

} // namespace troupe
