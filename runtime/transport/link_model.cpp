#include "runtime/transport/link_model.hpp"

namespace troupe {

clock::instant::duration transmission_time(size_t bytes,
                                           uint64_t bytes_per_second) {
  if (bytes_per_second == 0)
    return {};
  auto nanoseconds = bytes * 1e9 / double(bytes_per_second);
  return std::chrono::nanoseconds{int64_t(nanoseconds)};
}

clock::instant::duration flight_time(const link_model& model,
                                     random_stream& chance) {
  return model.latency + chance.exponential(model.jitter);
}

bool has_room(const link_model& model, size_t in_air, size_t size) {
  return in_air == 0 || in_air + size <= model.max_queue;
}

} // namespace troupe
