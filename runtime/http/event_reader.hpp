#pragma once

/// A stream of events (text/event-stream), wherever the network has cut it:
/// the data of each; names, ids and comments are passed over.

#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

class event_reader {
public:
  /// Appends to `to` the data of every event that `bytes` complete; lines of
  /// one event are parted by line feeds. False: one is beyond `max_event`, and
  /// nothing may be read any more.
  bool read(std::string_view bytes, std::vector<std::string>& to);

  static constexpr size_t max_event = 16 << 20; ///< Bytes.

private:
  void take_line(std::string_view line, std::vector<std::string>& to);

  std::string line_; ///< What has come of one.
  std::string data_; ///< Of the event that has begun.
  bool has_data_ = false;
};

} // namespace troupe::http
