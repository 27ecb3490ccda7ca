#include "deploy/client_key.hpp"

#include "deploy/private_file.hpp"
#include "runtime/http/api_keys.hpp"

#include <cstdlib>

namespace troupe {

result<std::string> read_client_key(const std::string& file) {
  std::string text;
  if (file.empty()) {
    for (auto* name : {"TROUPE_API_KEY", "OPENAI_API_KEY"})
      if (auto* value = std::getenv(name); value && text.empty())
        text = value;
    if (text.empty())
      return text;
  } else {
    auto read = read_private_file(file, 1 << 20);
    if (!read)
      return read.why();
    text = std::move(*read);
  }
  auto keys = http::parse_api_keys(file.empty() ? "the environment" : file,
                                   text);
  if (!keys)
    return keys.why();
  return keys->front().key;
}

} // namespace troupe
