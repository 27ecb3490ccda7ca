#pragma once

/// Which paths a route of the table stands for.

#include <string_view>

namespace troupe::http {

/// Whether `path` is one of `route`, in which a final '/' stands for a name
/// behind it. Names of models may have a '/'. Those of responses have none, and
/// are not what OpenAI has there beside responses.
bool is_path_of(std::string_view route, std::string_view path);

} // namespace troupe::http
