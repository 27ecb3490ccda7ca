#include "runtime/cluster/shared_model.hpp"

#include "kernels/host/thread_pool.hpp"
#include "runtime/checkpoint/model_digests.hpp"
#include "runtime/cluster/numerics.hpp"
#include "runtime/text/tokenizer.hpp"

#include <algorithm>
#include <filesystem>

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

result<uint32_t> count_choices(const std::filesystem::path& model_dir,
                               uint32_t vocab_size) {
  auto path = model_dir / "tokenizer.json";
  if (!std::filesystem::exists(path))
    return vocab_size;
  auto words = tokenizer::load(path);
  if (!words)
    return words.why();
  return std::min(vocab_size, static_cast<uint32_t>(words->vocab_size()));
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

result<uint32_t> shared_model::num_choices() {
  std::lock_guard guard{mutex_};
  if (num_choices_ > 0)
    return num_choices_;
  auto counted = count_choices(source_.directory(), config().vocab_size);
  if (counted)
    num_choices_ = *counted;
  return counted;
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

result<std::shared_ptr<const expert_shard>>
shared_model::experts(precision activations, const expert_lists& which,
                      const load_progress& progress,
                      const std::stop_token& stop) {
  std::lock_guard guard{mutex_};
  auto& held = experts_[{activations, which}];
  if (held)
    return held;
  auto loaded = load_expert_shard(source_, *home_, activations, which, progress,
                                  stop);
  if (!loaded)
    return loaded.why();
  held = share(std::move(*loaded), home_);
  return held;
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
