#include "runtime/cluster/balance_status.hpp"

namespace troupe {

balance_status merged(const std::vector<balance_status>& units) {
  balance_status out;
  double count = 0;
  for (auto& x : units) {
    out.plans += x.plans;
    out.changes += x.changes;
    out.changes_refused += x.changes_refused;
    out.moves += x.moves;
    out.recent.insert(out.recent.end(), x.recent.begin(), x.recent.end());
    if (x.plans == 0)
      continue; // nothing is known of it
    count += 1;
    out.balance += (x.balance - out.balance) / count;
    out.planned += (x.planned - out.planned) / count;
    out.gain += (x.gain - out.gain) / count;
  }
  return out;
}

} // namespace troupe
