#pragma once

/// Failures in the form that OpenAI's clients know.

#include "runtime/error.hpp"
#include "runtime/http/message.hpp"

#include <variant>

namespace troupe::http {

struct api_error {
  unsigned status = 400;
  std::string type = "invalid_request_error";
  std::string message;
  std::string param;        ///< Empty: null.
  std::string code;         ///< Empty: null.
  uint64_t retry_after = 1; ///< s, of what may work later.
};

/// A value, or what the client did wrong.
template <class T>
using parsed = std::variant<T, api_error>;

api_error bad_parameter(std::string param, std::string message,
                        std::string code = "invalid_value");

/// The status that tells a client what to do next: 400 for what will never
/// work, 429 and 503 for what may work later.
api_error to_api_error(const failure& why);

/// {"error":{"message","type","param","code"}}
std::string render_error(const api_error& error);

reply to_reply(const api_error& error);

} // namespace troupe::http
