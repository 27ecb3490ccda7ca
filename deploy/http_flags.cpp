#include "deploy/http_flags.hpp"

#include "deploy/flag_sources.hpp"
#include "runtime/http/cross_origin.hpp"

#include <algorithm>

#include <sys/resource.h>

namespace troupe {

namespace {

/// Takes as many descriptors as the system gives, and leaves half of them to
/// nodes, weights and files, whoever connects.
void share_descriptors(http::server_options& server) {
  rlimit most{};
  if (::getrlimit(RLIMIT_NOFILE, &most) != 0)
    return;
  most.rlim_cur = most.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &most);
  ::getrlimit(RLIMIT_NOFILE, &most);
  auto& limit = server.limits.guests.total;
  limit = std::min<size_t>(limit, most.rlim_cur / 2);
}

} // namespace

void http_flags::add_to(CLI::App& command) {
  auto certificate = command.add_option(
    "--ssl-certfile", server.certificate,
    "Certificate (PEM, with its chain): serves over TLS; read again at SIGHUP");
  auto key = command.add_option("--ssl-keyfile", server.key, "Its key (PEM)");
  certificate->needs(key);
  key->needs(certificate);
  auto& guests = server.limits.guests;
  server.port = 8000;
  command
    .add_option("--host", server.address,
                "Address, or name with addresses, to listen at")
    ->capture_default_str();
  command.add_option("--port", server.port, "0: any that is free")
    ->capture_default_str();
  command
    .add_option("--max-connections", guests.total,
                "Connections of all clients, and no more than half of the "
                "descriptors that the system gives")
    ->capture_default_str()
    ->check(CLI::Range(1u, 1'000'000u));
  command
    .add_option("--max-connections-per-address", guests.per_client,
                "Connections of one address, or /64 network of IPv6")
    ->capture_default_str()
    ->check(CLI::Range(1u, 1'000'000u));
  command
    .add_option_function<uint32_t>(
      "--max-request-time",
      [this](uint32_t seconds) {
        server.limits.answer = std::chrono::seconds{seconds};
      },
      "Seconds that an answer may take, from its request on; then it ends with "
      "an error (default 86400)")
    ->check(CLI::Range(1u, 31'536'000u));
  command
    .add_option("--trusted-proxies", proxies,
                "Addresses and ranges, parted by commas, without that limit, "
                "as this machine itself")
    ->delimiter(',')
    ->allow_extra_args(false);
  command
    .add_option("--allowed-origins", origins,
                "Origins, parted by commas, of web pages that may call the "
                "API, e.g. https://chat.example.org; *: any (none)")
    ->delimiter(',')
    ->allow_extra_args(false);
  command.add_option("--admin-socket", admin_socket,
                     "Path of a Unix socket, of which this user alone has the "
                     "use, for /metrics, /cluster, /faults, /log-level; no "
                     "key is needed there (none)");
  add_limits(command);
  add_stored(command);
}

void http_flags::add_limits(CLI::App& command) {
  std::string known;
  for (auto& x : http::named_limits({}))
    known += (known.empty() ? "" : " ") + std::string{x.name} + "=" + x.value;
  command
    .add_option("--http-limit", limits,
                "Other limits on what clients send and take, NAME=VALUE, "
                "parted by commas; may be repeated. What holds otherwise: "
                  + known)
    ->delimiter(',')
    ->allow_extra_args(false);
}

void http_flags::add_stored(CLI::App& command) {
  command
    .add_option("--max-stored-responses", stored.max_count,
                "Responses that are kept for each key, to go on from; 0: none")
    ->capture_default_str()
    ->check(CLI::Range(0u, 1'000'000u));
  command
    .add_option("--max-stored-bytes", stored.max_bytes,
                "Bytes of them for each key")
    ->capture_default_str()
    ->transform(with_suffix());
  command
    .add_option("--max-stored-total-bytes", stored.max_total_bytes,
                "Bytes of them for all keys together")
    ->capture_default_str()
    ->transform(with_suffix());
  command
    .add_option_function<uint32_t>(
      "--stored-for",
      [this](uint32_t seconds) {
        stored.kept_for = std::chrono::seconds{seconds};
      },
      "Seconds that they are kept (default 3600)")
    ->check(CLI::Range(1u, 31'536'000u));
}

result<http::client_limits> http_flags::client_limits() const {
  http::client_limits out;
  out.server = server.limits;
  auto ok = result<void>{};
  for (const auto& text : limits)
    if (ok)
      ok = http::set_limit(text, out);
  if (ok)
    ok = http::check_limits(out);
  if (!ok)
    return failure{ok.why().code, "--http-limit: " + ok.why().message};
  return out;
}

result<http::server_options> http_flags::options() const {
  auto out = server;
  auto all = client_limits();
  if (!all)
    return all.why();
  out.limits = all->server;
  for (const auto& text : proxies) {
    auto range = http::parse_address_range(text);
    if (!range)
      return failure{range.why().code,
                     "--trusted-proxies: " + range.why().message};
    out.limits.guests.exempt.push_back(*range);
  }
  for (const auto& text : origins)
    if (auto ok = http::check_origin(text); !ok)
      return failure{ok.why().code, "--allowed-origins: " + ok.why().message};
  share_descriptors(out);
  return out;
}

} // namespace troupe
