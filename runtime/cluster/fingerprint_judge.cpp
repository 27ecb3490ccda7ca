#include "runtime/cluster/fingerprint_judge.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr std::string_view consequence = ": its tokens would differ";

/// Of a value that stands in a sentence.
constexpr size_t max_shown = 64;

std::string_view next_line(std::string_view& text) {
  auto end = text.find('\n');
  auto out = text.substr(0, end);
  text = end == text.npos ? std::string_view{} : text.substr(end + 1);
  return out;
}

std::string_view name_in(std::string_view line) {
  return line.substr(0, line.find(' ')).substr(0, max_shown);
}

std::string_view value_in(std::string_view line) {
  auto end = line.find(' ');
  return end == line.npos ? "" : line.substr(end + 1).substr(0, max_shown);
}

/// Names the first setting that differs; empty if none does.
std::string difference(std::string_view theirs, std::string_view ours) {
  while (theirs != ours) {
    auto their_line = next_line(theirs);
    auto our_line = next_line(ours);
    if (their_line == our_line)
      continue;
    std::string out{"its "};
    if (name_in(their_line) != name_in(our_line))
      return out.append("model says ")
        .append(name_in(their_line))
        .append(" where the controller's says ")
        .append(name_in(our_line))
        .append(consequence);
    return out.append(name_in(their_line))
      .append(" is ")
      .append(value_in(their_line))
      .append(", the controller's is ")
      .append(value_in(our_line))
      .append(consequence);
  }
  return {};
}

} // namespace

fingerprint_judge::fingerprint_judge(std::vector<std::string> names)
  : names_(std::move(names)), nodes_(names_.size()) {
  CHECK(!names_.empty());
}

std::vector<fingerprint_judge::verdict>
fingerprint_judge::hear(node_id node, const numerics& part) {
  if (node >= nodes_.size() || nodes_[node].is != standing::open
      || nodes_[node].said.is_complete)
    return {};
  auto& said = nodes_[node].said;
  if (said.settings.empty()) {
    said.settings = part.settings;
    said.target = part.target;
  }
  said.is_complete = part.is_complete;
  said.tensors.insert(said.tensors.end(), part.tensors.begin(),
                      part.tensors.end());
  if (auto why = misuse(said))
    return {close(node, *why)};
  return judge_all();
}

std::optional<std::string> fingerprint_judge::misuse(const numerics& said) {
  if (said.settings.empty())
    return "it does not say first what it computes with";
  if (said.tensors.size() > max_tensors)
    return "it speaks of more than " + std::to_string(max_tensors) + " tensors";
  return std::nullopt;
}

fingerprint_judge::verdict fingerprint_judge::close(node_id node,
                                                    std::string refusal) {
  auto& x = nodes_[node];
  x.is = refusal.empty() ? standing::accepted : standing::refused;
  x.said.tensors = {};
  return {node, std::move(refusal)};
}

std::vector<fingerprint_judge::verdict>
fingerprint_judge::know(const digest_table& weights) {
  auto& to = weights_.emplace();
  to.reserve(weights.size());
  for (auto& [name, bytes] : weights)
    to.emplace(name_hash(name), known_tensor{name, bytes});
  return judge_all();
}

std::vector<fingerprint_judge::verdict> fingerprint_judge::judge_all() {
  std::vector<verdict> out;
  if (nodes_[0].said.settings.empty())
    return out; // there is no measure yet
  for (size_t n = 0; n < nodes_.size(); ++n) {
    auto& x = nodes_[n];
    if (x.is != standing::open || x.said.settings.empty())
      continue;
    if (auto found = judge(node_id(n)))
      out.push_back(close(node_id(n), std::move(*found)));
  }
  return out;
}

/// Nothing as long as nothing follows.
std::optional<std::string> fingerprint_judge::judge(node_id node) const {
  auto& said = nodes_[node].said;
  auto refusal = difference(said.settings, nodes_[0].said.settings);
  if (refusal.empty())
    refusal = judge_target(node);
  if (!refusal.empty())
    return refusal;
  if (!said.is_complete)
    return std::nullopt;
  if (weights_)
    return judge_tensors(said);
  return nodes_.size() == 1 ? std::optional<std::string>{""} : std::nullopt;
}

/// Against whoever computes and was accepted before, or comes first.
std::string fingerprint_judge::judge_target(node_id node) const {
  auto& target = nodes_[node].said.target;
  for (size_t n = 0; n < nodes_.size() && !target.empty(); ++n) {
    auto& other = nodes_[n].said.target;
    auto is_measure = nodes_[n].is == standing::accepted
                      || (nodes_[n].is == standing::open && n < node);
    if (is_measure && !other.empty() && other != target)
      return "it computes with " + target.substr(0, max_shown) + ", node "
             + names_[n] + " with " + other.substr(0, max_shown)
             + std::string{consequence};
  }
  return {};
}

std::string fingerprint_judge::judge_tensors(const numerics& said) const {
  size_t differing = 0;
  const std::string* first = nullptr;
  for (auto& x : said.tensors) {
    auto known = weights_->find(x.name);
    if (known == weights_->end())
      return "it holds a tensor that the controller's model lacks"
             + std::string{consequence};
    if (known->second.bytes == x.bytes)
      continue;
    ++differing;
    if (!first || known->second.name < *first)
      first = &known->second.name;
  }
  if (!first)
    return {};
  auto out = "its tensor " + *first;
  if (differing > 1)
    out += " (the first of " + std::to_string(differing) + ")";
  return out + " is not the controller's" + std::string{consequence};
}

} // namespace troupe
