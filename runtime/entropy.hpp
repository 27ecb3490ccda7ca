#pragma once

/// Chance, as an object that a constructor is given: incarnations, nonces and
/// the seeds of requests that name none.

#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe {

class entropy {
public:
  virtual ~entropy() = default;

  virtual void fill(std::span<std::byte> bytes) = 0;

  /// A uniform number.
  uint64_t draw();
};

/// The kernel's, fit for keys. Thread-safe.
class system_entropy : public entropy {
public:
  void fill(std::span<std::byte> bytes) override;
};

} // namespace troupe
