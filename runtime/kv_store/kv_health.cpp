#include "runtime/kv_store/kv_health.hpp"

#include <utility>

namespace troupe {

std::string kv_health::give_up(const std::string& why) {
  if (!std::exchange(may_read_, false))
    return "";
  return "the KV cache on disk is off: " + why;
}

std::string kv_health::write_failed(const std::string& why) {
  if (!may_write() || !std::exchange(may_write_, false))
    return "";
  return "nothing more is written to the KV cache on disk: " + why;
}

std::string kv_health::read_failed() {
  return give_up("a block of it could not be read");
}

std::string kv_health::found_damaged(clock::instant now) {
  damaged_.push_back(now);
  while (now - damaged_.front() > damage_window)
    damaged_.pop_front();
  if (damaged_.size() < max_damaged)
    return "";
  return give_up(std::to_string(damaged_.size())
                 + " of its blocks were damaged within "
                 + std::to_string(damage_window.count()) + " minutes");
}

std::string kv_health::reads_wait(clock::instant since, clock::instant now) {
  if (now - since <= patience)
    return "";
  return give_up("it has not answered for " + std::to_string(patience.count())
                 + " s");
}

std::string kv_health::writes_wait(clock::instant since, clock::instant now) {
  if (now - since <= patience)
    return "";
  return write_failed("a block has taken more than "
                      + std::to_string(patience.count()) + " s");
}

} // namespace troupe
