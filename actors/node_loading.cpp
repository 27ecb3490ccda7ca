#include "actors/node_loading.hpp"

namespace troupe {

void node_loading::run(const std::string& model_dir) const {
  auto say = [this](const numerics& x) {
    tell_controller(*here, node_loaded{node, x, incarnation});
  };
  auto loaded = load_node_parts(cluster, node, model_dir, options, progress,
                                say);
  if (!loaded)
    return tell(answers_to, parts_loaded{nullptr, loaded.why()});
  tell(answers_to, parts_loaded{*loaded, std::nullopt});
  // The others load meanwhile; what they hold is measured by ours.
  auto judge = here->read()->controller;
  if (!judge || cluster.nodes.size() == 1)
    return;
  auto all = digest_model_dir(model_dir, (*loaded)->digests,
                              (*loaded)->loaded_from, options, progress);
  if (!all)
    return tell(answers_to, parts_loaded{nullptr, all.why()});
  auto known = std::make_shared<const digest_table>(std::move(*all));
  here->update([&](cast_list& list) { list.digests = known; });
  tell(judge, model_known{known});
}

} // namespace troupe
