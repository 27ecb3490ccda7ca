#include "deploy/api_key_flags.hpp"

#include "deploy/private_file.hpp"
#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace troupe {

namespace {

constexpr std::string_view flag = "--api-key";
constexpr const char* variable = "TROUPE_API_KEY";
constexpr size_t max_file_bytes = 1 << 20;
constexpr uint64_t most = uint64_t{1} << 50; ///< In a minute.

} // namespace

void api_key_flags::add_to(CLI::App& command) {
  command
    .add_option("--api-key", keys,
                "Key that requests must carry; may be repeated. Whoever lists "
                "processes while this one starts can see it: prefer a file or "
                "TROUPE_API_KEY")
    ->allow_extra_args(false);
  command.add_option("--api-key-file", file,
                     "File of such keys, one a line, that nobody else may "
                     "read; or, if it is named *.toml, of [[key]] with key, "
                     "name, requests-per-minute, tokens-per-minute; read "
                     "again at SIGHUP");
  command
    .add_option("--requests-per-minute", limits.requests_per_minute,
                "Of each key whose file says nothing else, or of all clients "
                "where there are no keys; 0: as many as they like")
    ->capture_default_str()
    ->check(CLI::Range(uint64_t{0}, most));
  command
    .add_option("--tokens-per-minute", limits.tokens_per_minute,
                "Likewise, of prompts and answers")
    ->capture_default_str()
    ->check(CLI::Range(uint64_t{0}, most));
  command.add_flag("--metrics-without-key", open_metrics,
                   "Let everybody read /metrics");
}

result<std::vector<http::api_key>> api_key_flags::read() const {
  std::vector<http::api_key> all;
  auto add = [&](std::string_view source,
                 std::string_view text) -> result<void> {
    auto found = source.ends_with(".toml")
                   ? http::parse_api_key_table(source, text)
                   : http::parse_api_keys(source, text);
    if (!found)
      return found.why();
    for (auto& x : *found) {
      auto or_default = [](uint64_t& to, uint64_t otherwise) {
        to = to > 0 ? to : otherwise;
      };
      or_default(x.limits.requests_per_minute, limits.requests_per_minute);
      or_default(x.limits.tokens_per_minute, limits.tokens_per_minute);
      all.push_back(std::move(x));
    }
    return {};
  };
  for (const auto& key : keys)
    if (auto ok = add("--api-key", key); !ok)
      return ok.why();
  if (const auto* text = std::getenv(variable))
    if (auto ok = add(variable, text); !ok)
      return ok.why();
  if (file.empty())
    return all;
  auto text = read_private_file(file, max_file_bytes);
  if (!text)
    return text.why();
  if (auto ok = add(file, *text); !ok)
    return ok.why();
  return all;
}

std::vector<std::string> take_arguments(int count, char** args) {
  std::vector<std::string> out(args, args + count);
  for (int i = 0; i < count; ++i) {
    std::string_view arg = out[i];
    auto* secret = arg == flag && i + 1 < count ? args[i + 1]
                   : arg.starts_with(std::string{flag} + "=")
                     ? args[i] + flag.size() + 1
                     : nullptr;
    if (secret)
      std::fill_n(secret, std::strlen(secret), '*');
  }
  return out;
}

} // namespace troupe
