#include "actors/node_loading.hpp"

namespace troupe {

namespace {

/// Blocks on a disk follow from every tensor of the model, whoever holds it: a
/// node that keeps them vouches for all. Those in memory end with the process,
/// whose model is one.
result<void> vouch_for_blocks(const node_loading& of,
                              const std::string& model_dir,
                              const numerics& about, node_parts& parts) {
  if (!parts.keeper)
    return {};
  if (parts.keeper->files.dir.empty()) {
    parts.identify_blocks(about, {});
    return {};
  }
  auto all = digest_model_dir(model_dir, parts.digests, parts.loaded_from,
                              of.options, of.progress);
  if (!all)
    return all.why();
  parts.identify_blocks(about, *all);
  parts.digests = std::move(*all);
  return {};
}

} // namespace

void node_loading::run(const std::string& model_dir) const {
  numerics about;
  auto say = [&](const numerics& x) {
    about = x;
    tell_controller(*here, node_loaded{node, x, incarnation});
  };
  auto loaded = load_node_parts(cluster, node, model_dir, options, progress,
                                say, begins_with.get());
  if (!loaded)
    return tell(answers_to, parts_loaded{nullptr, loaded.why()});
  if (auto ok = vouch_for_blocks(*this, model_dir, about, **loaded); !ok)
    return tell(answers_to, parts_loaded{nullptr, ok.why()});
  // Where time is virtual there are no threads, and none of their own.
  if (auto& grammars = (*loaded)->tokens.grammars;
      grammars && options.num_threads > 0)
    grammars->work_beside();
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
