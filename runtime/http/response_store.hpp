#pragma once

/// Responses that clients may ask for again, or go on from: for a time, and
/// within limits for each owner and for all together; the oldest ones go first.
/// Nobody finds another's.

#include "runtime/text/chat_message.hpp"

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace troupe::http {

struct store_limits {
  size_t max_count = 1024;          ///< Of an owner; 0: none is stored.
  size_t max_bytes = 64 << 20;      ///< Likewise, of all text.
  size_t max_total_bytes = 1 << 30; ///< Of all owners together.
  std::chrono::seconds kept_for{3600};
};

struct stored_response {
  std::string body; ///< JSON, as it was told.
  /// The conversation up to the answer and with it, without the instructions.
  std::vector<chat_message> turns;
  /// Bytes of the pieces in which the texts of its output came, one after the
  /// other.
  std::vector<uint32_t> pieces = {};
};

/// Safe to use from several threads. The clock is its callers'.
class response_store {
public:
  using instant = std::chrono::steady_clock::time_point;

  explicit response_store(store_limits limits) : limits_(limits) {
  }

  bool is_on() const {
    return limits_.max_count > 0;
  }

  /// What is larger than the limit by itself is not stored.
  void put(const std::string& owner, const std::string& id,
           stored_response what, instant now);

  /// Null: there is none, or it is another's.
  std::shared_ptr<const stored_response>
  find(const std::string& owner, const std::string& id, instant now);

  /// Returns whether there was one.
  bool erase(const std::string& owner, const std::string& id, instant now);

  size_t count() const;

private:
  struct entry {
    std::string id;
    std::shared_ptr<const stored_response> what;
    size_t size;
    instant end;
  };

  /// Of one owner, the oldest first.
  struct shelf {
    std::list<entry> all;
    std::map<std::string, std::list<entry>::iterator> by_id;
    size_t size = 0;
  };

  void drop_first(shelf& from);
  shelf& with_oldest();
  void drop_old(instant now);

  const store_limits limits_;
  mutable std::mutex mutex_; // guards what follows
  std::map<std::string, shelf> shelves_;
  size_t size_ = 0; ///< Of all.
};

} // namespace troupe::http
