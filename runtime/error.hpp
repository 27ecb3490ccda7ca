#pragma once

/// The failures that are expected to happen. A new code is added only when
/// some caller acts on it; otherwise the message of an existing one will do.

#include "kernels/check.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace troupe {

/// What failed, grouped by the largest thing that is lost, which tells the
/// caller what to do next.
enum class errc : uint8_t {
  // -- the call is lost: ask for something else
  invalid_input = 1, ///< Bytes or arguments from outside that make no sense.
  not_found,
  context_too_long,
  overloaded,  ///< Nothing was accepted; try again later.
  cancelled,   ///< By the one who asked.
  quarantined, ///< Processes died that computed it: it is not tried again.
  // -- the step is lost: redo it
  step_failed = 64, ///< A device said no.
  deadline_passed,
  // -- the peer is lost: leave it out
  peer_lost = 128,
  refused, ///< The other side does not know us: secret, version, numerics.
  // -- the process cannot go on as it is
  out_of_memory = 192,
  io, ///< A file or a socket of our own.
};

/// Returns the code as written above, e.g. "peer_lost".
const char* to_string(errc code);

struct failure {
  errc code = errc::invalid_input;
  std::string message; ///< One clear sentence for the one who has to act.
};

/// A value or the reason why there is none.
template <class T>
class [[nodiscard]] result {
public:
  result(T value) : x_(std::move(value)) {
  }

  result(failure err) : x_(std::move(err)) {
  }

  explicit operator bool() const {
    return x_.index() == 0;
  }

  T& operator*() {
    CHECK(x_.index() == 0);
    return *std::get_if<0>(&x_);
  }

  const T& operator*() const {
    CHECK(x_.index() == 0);
    return *std::get_if<0>(&x_);
  }

  T* operator->() {
    return &**this;
  }

  const T* operator->() const {
    return &**this;
  }

  const failure& why() const {
    CHECK(x_.index() == 1);
    return *std::get_if<1>(&x_);
  }

private:
  std::variant<T, failure> x_;
};

/// Success, or the reason why not.
template <>
class [[nodiscard]] result<void> {
public:
  result() = default;

  result(failure err) : err_(std::move(err)) {
  }

  explicit operator bool() const {
    return !err_;
  }

  const failure& why() const {
    CHECK(err_.has_value());
    return *err_;
  }

private:
  std::optional<failure> err_;
};

} // namespace troupe
