#include "runtime/http/event_reader.hpp"

#include <utility>

namespace troupe::http {

bool event_reader::read(std::string_view bytes, std::vector<std::string>& to) {
  for (;;) {
    auto end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (line_.size() + data_.size() > max_event)
      return false;
    if (end == bytes.npos)
      return true;
    bytes.remove_prefix(end + 1);
    if (line_.ends_with('\r'))
      line_.pop_back();
    take_line(line_, to);
    line_.clear();
  }
}

void event_reader::take_line(std::string_view line,
                             std::vector<std::string>& to) {
  constexpr std::string_view name = "data:";
  if (line.empty()) {
    if (std::exchange(has_data_, false))
      to.push_back(std::exchange(data_, {}));
    return;
  }
  if (!line.starts_with(name))
    return;
  line.remove_prefix(name.size());
  if (line.starts_with(' '))
    line.remove_prefix(1);
  if (std::exchange(has_data_, true))
    data_ += '\n';
  data_ += line;
}

} // namespace troupe::http
