#include "runtime/kv_store/fetch_choice.hpp"

namespace troupe {

namespace {

constexpr uint32_t declined_before_a_try = 15;

/// Reads that say something together.
constexpr double enough = 8;

} // namespace

void fetch_choice::add(double seconds) {
  read_.add({1}, seconds);
}

double fetch_choice::seconds_for(uint64_t count, uint64_t num_waiting) const {
  if (read_.weight() < enough)
    return 0;
  return read_.predict({double(count + num_waiting)}) / num_at_once_;
}

bool fetch_choice::is_worth_it(uint64_t count, uint64_t num_waiting,
                               double to_compute) {
  auto to_fetch = seconds_for(count, num_waiting);
  if (to_compute == 0 || to_fetch < to_compute)
    return true;
  if (num_declined_ < declined_before_a_try) {
    ++num_declined_;
    return false;
  }
  num_declined_ = 0;
  return true;
}

} // namespace troupe
