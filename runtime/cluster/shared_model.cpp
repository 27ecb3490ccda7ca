#include "runtime/cluster/shared_model.hpp"

#include "kernels/host/thread_pool.hpp"
#include "runtime/checkpoint/model_digests.hpp"
#include "runtime/cluster/numerics.hpp"
#include "runtime/model/expert_proof.hpp"
#include "runtime/planted.hpp"
#include "runtime/text/tokenizer.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>

namespace troupe {

namespace {

/// Weights that give their memory back to `home` when nobody holds them.
template <class Weights>
std::shared_ptr<const Weights>
share(std::unique_ptr<Weights> x, std::shared_ptr<kernels::device> home) {
  auto end = [home](const Weights* weights) {
    for (auto& mem : weights->memory)
      home->free(mem);
    delete weights;
  };
  return {x.release(), end};
}

result<shared_model::token_facts>
read_tokens(const std::filesystem::path& model_dir, uint32_t vocab_size) {
  auto path = model_dir / "tokenizer.json";
  if (!std::filesystem::exists(path))
    return shared_model::token_facts{vocab_size, nullptr};
  auto words = tokenizer::load(path);
  if (!words)
    return words.why();
  auto count = std::min(vocab_size, static_cast<uint32_t>(words->vocab_size()));
  return shared_model::token_facts{
    count, std::make_shared<grammar_cache>(
             std::make_shared<const vocabulary>(*words, count))};
}

} // namespace

shared_model::shared_model(checkpoint source,
                           std::shared_ptr<kernels::device> home)
  : source_(std::move(source)), home_(std::move(home)) {
}

result<std::shared_ptr<shared_model>>
shared_model::open(const std::string& model_dir,
                   std::shared_ptr<kernels::device> home,
                   std::shared_ptr<const model_config> config) {
  auto source = checkpoint::open(model_dir, std::move(config));
  if (!source)
    return source.why();
  if (!source->config())
    return source->config().why();
  return std::shared_ptr<shared_model>{
    new shared_model{std::move(*source), std::move(home)}};
}

result<std::string> shared_model::settings(precision activations) {
  std::lock_guard guard{mutex_};
  if (auto i = settings_.find(activations); i != settings_.end())
    return i->second;
  auto made = settings_of(source_.directory(), config(), activations);
  if (made)
    settings_[activations] = *made;
  return made;
}

result<shared_model::token_facts> shared_model::tokens() {
  std::lock_guard guard{mutex_};
  if (tokens_.num_choices > 0)
    return tokens_;
  auto read = read_tokens(source_.directory(), config().vocab_size);
  if (read)
    tokens_ = *read;
  return read;
}

result<std::shared_ptr<const attention_weights>>
shared_model::attention(precision activations, uint32_t max_model_len,
                        const load_progress& progress,
                        const std::stop_token& stop) {
  std::lock_guard guard{mutex_};
  auto& held = attention_[{activations, max_model_len}];
  if (held)
    return held;
  auto loaded = load_attention_weights(source_, *home_, activations,
                                       max_model_len, progress, stop);
  if (!loaded)
    return loaded.why();
  held = share(std::move(*loaded), home_);
  return held;
}

/// Loads those that are not there yet.
result<void> shared_model::pack_missing(precision activations,
                                        const expert_lists& which,
                                        packed_experts& packed,
                                        const load_progress& progress,
                                        const std::stop_token& stop) {
  expert_lists missing(which.size());
  for (uint32_t layer = 0; layer < which.size(); ++layer)
    std::ranges::copy_if(which[layer], std::back_inserter(missing[layer]),
                         [&](auto expert) {
                           return !packed.contains({layer, expert});
                         });
  if (std::ranges::all_of(missing, &std::vector<uint32_t>::empty))
    return {};
  auto loaded = load_expert_shard(source_, *home_, activations, missing,
                                  progress, stop);
  if (!loaded)
    return loaded.why();
  auto owner = share(std::move(*loaded), home_);
  for (uint32_t layer = 0; layer < missing.size(); ++layer)
    for (size_t i = 0; i < missing[layer].size(); ++i)
      packed[{layer, missing[layer][i]}] = {owner->slots[layer][i], owner};
  return {};
}

result<std::shared_ptr<const expert_shard>>
shared_model::experts(precision activations, const expert_lists& which,
                      const load_progress& progress,
                      const std::stop_token& stop) {
  std::lock_guard guard{mutex_};
  auto& packed = experts_[activations];
  if (auto ok = pack_missing(activations, which, packed, progress, stop); !ok)
    return ok.why();
  auto out = std::make_unique<expert_shard>();
  out->config = config();
  out->activations = activations;
  out->slots.resize(which.size());
  std::set<std::shared_ptr<const expert_shard>> lenders;
  for (uint32_t layer = 0; layer < which.size(); ++layer)
    for (auto expert : which[layer]) {
      auto is_wrong = PLANTED(replica_of_another_expert)
                      && expert == which[layer].back();
      auto& x = packed.at({layer, is_wrong ? which[layer][0] : expert});
      out->slots[layer].push_back(x.weights);
      lenders.insert(x.owner);
      auto prefix = expert_prefix(config().first_k_dense_replace + layer,
                                  expert);
      auto& all = x.owner->digests;
      for (auto i = all.lower_bound(prefix);
           i != all.end() && i->first.starts_with(prefix); ++i)
        out->digests.insert(*i);
    }
  out->lenders.assign(lenders.begin(), lenders.end());
  return share(std::move(out), home_);
}

/// Read twice, and computed with what came of either.
result<std::shared_ptr<const expert_shard>>
shared_model::load_alone(precision activations, uint32_t moe_layer,
                         uint32_t expert, const std::stop_token& stop) {
  expert_lists which(config().num_moe_layers());
  which[moe_layer] = {expert};
  std::shared_ptr<const expert_shard> out;
  std::vector<std::byte> canary;
  for (auto i : {0, 1}) {
    auto loaded = load_expert_shard(source_, *home_, activations, which, {},
                                    stop);
    if (!loaded)
      return loaded.why();
    auto shard = share(std::move(*loaded), home_);
    auto row = canary_row(*home_, *shard, moe_layer, 0);
    if (!row)
      return row.why();
    if (i > 0 && *row != canary)
      return failure{errc::step_failed, "expert " + std::to_string(expert)
                                          + " of MoE layer "
                                          + std::to_string(moe_layer)
                                          + " does not compute the same twice"};
    canary = std::move(*row);
    out = std::move(shard);
  }
  return out;
}

result<shared_model::lent_expert>
shared_model::expert(precision activations, uint32_t moe_layer, uint32_t expert,
                     const std::stop_token& stop) {
  std::lock_guard guard{mutex_};
  auto& packed = experts_[activations];
  if (auto i = packed.find({moe_layer, expert}); i != packed.end())
    return lent_expert{i->second.weights, i->second.owner, false};
  auto& guest = guests_[{activations, moe_layer, expert}];
  auto owner = guest.lock();
  auto is_new = owner == nullptr;
  if (is_new) {
    auto loaded = load_alone(activations, moe_layer, expert, stop);
    if (!loaded)
      return loaded.why();
    owner = std::move(*loaded);
    guest = owner;
  }
  return lent_expert{owner->slots[moe_layer][0], owner, is_new};
}

result<digest_table> shared_model::digests(const std::stop_token& stop) {
  std::lock_guard guard{mutex_};
  if (!digests_.empty())
    return digests_;
  kernels::thread_pool alone{0};
  auto made = digest_model(source_, {}, alone, {}, stop);
  if (made)
    digests_ = *made;
  return made;
}

} // namespace troupe
