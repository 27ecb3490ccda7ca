#pragma once

/// SIGINT and SIGTERM as something to ask for instead of something that
/// happens. To be made before any thread is started, which inherit that they
/// are blocked; once in a process.

#include <chrono>

namespace troupe {

class end_signals {
public:
  end_signals();

  /// Waits; returns whether one came, now or earlier.
  bool wait_for(std::chrono::milliseconds duration);

  /// From now on SIGHUP ends nothing, but can be asked for. As the constructor,
  /// before any thread is started.
  void watch_hangup();

  /// Returns whether SIGHUP has come since this was asked last.
  bool take_hangup();

  /// Waits for one more; returns whether it came.
  bool wait_for_another(std::chrono::milliseconds duration);

  /// Waits until one comes.
  void wait();

  /// From any thread: the one who waits goes on as if one had come.
  static void pretend();

private:
  bool came_ = false;
};

} // namespace troupe
