#pragma once

/// Node processes of a topology on this machine, children of this one. None
/// outlives it: they are ended with the object, and the kernel kills them if
/// this process dies in any other way.

#include "deploy/restart_brake.hpp"
#include "runtime/error.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

class local_nodes {
public:
  /// Runs this very program once for each list of arguments, whose first is
  /// the subcommand; of the environment it gets no settings (TROUPE_...), which
  /// are this process's. To be called on the main thread: the kernel's promise
  /// is bound to the calling thread. Error: io. Each child inherits the
  /// descriptor of its place in `inherited`, if there are any. Who has more to
  /// do in the end than to let go needs more patience.
  static result<std::unique_ptr<local_nodes>>
  start(const std::vector<std::vector<std::string>>& commands,
        const std::vector<int>& inherited = {},
        std::chrono::seconds patience = std::chrono::seconds{5});

  /// Asks every child to end, waits for as long as its patience, then kills.
  ~local_nodes();

  local_nodes(const local_nodes&) = delete;
  local_nodes& operator=(const local_nodes&) = delete;

  /// Returns how many children have ended by themselves so far.
  size_t num_ended();

  /// Sentences on those who have ended since this was asked last.
  std::vector<std::string> take_ends();

  /// Whether the node of that name was told to end, as far as is known now.
  using told_fn = std::function<bool(const std::string& name)>;

  /// Starts those anew who have ended, but for those whom somebody told to,
  /// each when its brake allows it. On the main thread, now and then. Returns
  /// sentences on what has happened.
  std::vector<std::string> tend(const restart_brake::limits& limits,
                                clock::instant now, const told_fn& was_told);

  /// Sends a signal to the child of command `i`. False: it has ended.
  bool send_signal(size_t i, int which);

  /// What the kernel says that it does, as the letter of /proc/PID/stat, e.g.
  /// 'T' for one that is stopped. Nothing: it has ended.
  std::optional<char> state_of(size_t i);

private:
  struct child {
    std::string name;
    std::vector<std::string> command;
    int inherited = -1; ///< A descriptor; -1: none.
    int pid = 0;        ///< 0: has ended.
    std::optional<restart_brake> brake = {};
    std::optional<clock::instant> due = {}; ///< When it begins anew.
    bool is_new_end = false;                ///< Which nobody has decided about.
  };

  local_nodes() = default;

  result<void> begin(child& x);
  std::string decide(child& x, const restart_brake::limits& limits,
                     clock::instant now);

  /// Collects what has ended; returns whether all have.
  bool reap();

  std::string program_;
  std::chrono::seconds patience_{};
  std::vector<child> children_;
  std::vector<std::string> ends_; ///< That nobody has been told of.
  size_t num_ended_ = 0;
};

} // namespace troupe
