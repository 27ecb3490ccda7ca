#include "actors/rows_refusal.hpp"

namespace troupe {

void refuse_rows(const cast_list& here, const logger& log, const process& asker,
                 const rows_refused& answer) {
  auto who = answer.worker == rows_refused::whole_slab
               ? std::string{"this node"}
               : "worker " + std::to_string(answer.worker);
  auto rank = answer.of.id.rank;
  log.warning(who + " refused rows of rank " + std::to_string(rank)
              + " in layer " + std::to_string(answer.of.layer) + ": "
              + to_string(answer.why));
  auto at_present = here.processes.find(asker.node);
  if (at_present != here.processes.end()
      && at_present->second != asker.incarnation)
    return;
  if (auto i = here.peers.find(asker.node); i != here.peers.end())
    tell(i->second, answer);
  else if (auto k = here.ranks.find(rank); k != here.ranks.end())
    tell(k->second, answer);
}

} // namespace troupe
