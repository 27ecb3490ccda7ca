#pragma once

/// Those who ask in a virtual world: each request of a load is a client of its
/// own, that comes, hears and goes. What they ask and hear is checked and
/// stands in the trace.

#include "actors/virtual_company.hpp"
#include "runtime/sim/request_load.hpp"
#include "runtime/sim/run_checks.hpp"
#include "runtime/sim/sometimes_states.hpp"

#include <map>
#include <set>

namespace troupe {

class virtual_clients {
public:
  /// All outlive this, and the world does not go on without it.
  virtual_clients(world& in, virtual_company& company, client_load load,
                  run_checks& checks, sometimes_states& states);

  /// Arrivals count from now.
  void begin();

  /// Whether every one has come, and has heard an end or a refusal.
  bool are_done() const {
    return num_done_ == clients_.size();
  }

  /// Whose request that is; nothing if nobody's of these.
  std::optional<uint32_t> find(request_id id) const;

  // -- faults -----------------------------------------------------------------

  /// Whether it has asked, has not heard its end and has not gone.
  bool is_there(uint32_t request) const;

  /// Goes away, if it is there.
  void vanish(uint32_t request);

  /// Takes `pace` for each event from now on, or longer if it is slowed down
  /// more than once. Nothing of it is seen behind the front end, which keeps
  /// what a client does not take yet.
  void slow_down(uint32_t request, virtual_duration pace);

  /// Once for each of the above.
  void speed_up(uint32_t request, virtual_duration pace);

  /// Events that a client was slow to take.
  uint64_t num_slowed(uint32_t request) const {
    return clients_[request].num_slowed;
  }

  // -- what came of it --------------------------------------------------------

  struct figures {
    uint64_t completed = 0;
    uint64_t failed = 0;
    uint64_t cancelled = 0;
    uint64_t refused = 0;
    uint64_t tokens = 0;
  };

  const figures& counted() const {
    return figures_;
  }

private:
  enum class stage : uint8_t { to_come, waiting, open, done };

  struct client {
    client_request what;
    stage at = stage::to_come;
    request_id id = 0;
    uint32_t heard = 0; ///< Tokens.
    bool has_vanished = false;
    std::multiset<virtual_duration> paces; ///< The slowest counts.
    virtual_instant free_at = {}; ///< When it has taken what it has been given.
    uint64_t num_slowed = 0;
  };

  void come(uint32_t i);
  void ask(uint32_t i);
  void hear(uint32_t i, const generation_event& event);
  void take(uint32_t i, const generation_event& event);
  void count(const generation_event& last);
  void refuse(uint32_t i, const failure& why);
  void end(uint32_t i);
  void note(trace_kind kind, uint32_t i, uint64_t what = 0);

  world& world_;
  virtual_company& company_;
  run_checks& checks_;
  sometimes_states& states_;
  const uint32_t streams_; ///< Open at a time; 0: no limit.
  std::vector<client> clients_;
  std::map<request_id, uint32_t> open_; ///< Accepted and not ended.
  std::deque<uint32_t> waiting_;        ///< For a stream.
  size_t num_done_ = 0;
  figures figures_;
};

} // namespace troupe
