#include "runtime/checkpoint/model_digests.hpp"

#include "kernels/host/thread_pool.hpp"

#include <algorithm>
#include <optional>

namespace troupe {

namespace {

/// Of one read. The next one is announced to the system with it.
constexpr uint64_t read_bytes = 1 << 20;

/// After so much others of the pool get their turn, and progress is told.
constexpr uint64_t batch_bytes = 64 << 20;

struct task {
  std::string name;
  const stored_tensor* place = nullptr;
  digest value = {};
  std::optional<failure> trouble = {};
};

std::vector<task> tasks_of(const checkpoint& source,
                           const digest_table& known) {
  std::vector<task> out;
  for (auto& name : source.names())
    if (!known.contains(name))
      out.push_back({name, source.find(name)});
  std::ranges::sort(out, {}, [](auto& x) {
    return std::pair{x.place->file, x.place->offset};
  });
  return out;
}

void run(const checkpoint& source, task& x) {
  auto size = x.place->num_bytes;
  std::vector<std::byte> buffer(std::min(size, read_bytes));
  digest_stream sum;
  auto look = [&](std::span<const std::byte> bytes) { sum.add(bytes); };
  for (uint64_t at = 0; at < size; at += buffer.size()) {
    auto part = std::span{buffer}.first(std::min(read_bytes, size - at));
    if (auto ok = source.read(*x.place, at, part, look); !ok) {
      x.trouble = ok.why();
      return;
    }
  }
  x.value = sum.take();
}

/// The first tasks of `left` that together have a batch's bytes, at least one.
std::span<task> next_batch(std::span<task> left) {
  uint64_t bytes = 0;
  size_t count = 0;
  while (count < left.size() && bytes < batch_bytes)
    bytes += left[count++].place->num_bytes;
  return left.first(count);
}

} // namespace

result<digest_table>
digest_model(const checkpoint& source, digest_table known,
             kernels::thread_pool& pool,
             const std::function<void(uint64_t done, uint64_t total)>& progress,
             const std::stop_token& stop) {
  auto tasks = tasks_of(source, known);
  uint64_t done = 0, total = 0;
  for (auto& x : tasks)
    total += x.place->num_bytes;
  if (progress && !tasks.empty())
    progress(0, total);
  for (std::span left{tasks}; !left.empty();) {
    if (stop.stop_requested())
      return failure{errc::cancelled, "digests are not wanted any more"};
    auto batch = next_batch(left);
    pool.parallel_for(static_cast<uint32_t>(batch.size()),
                      [&](uint32_t i) { run(source, batch[i]); });
    for (auto& x : batch) {
      if (x.trouble)
        return *x.trouble;
      known[x.name] = x.value;
      done += x.place->num_bytes;
    }
    if (progress)
      progress(done, total);
    left = left.subspan(batch.size());
  }
  return known;
}

} // namespace troupe
