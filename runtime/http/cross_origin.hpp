#pragma once

/// Which pages in a browser may call the API (CORS): what a browser asks
/// before it sends a request of another origin's page, and what an answer must
/// say for that page to read it.

#include "runtime/error.hpp"
#include "runtime/http/message.hpp"

namespace troupe::http {

class cross_origin {
public:
  /// Origins as browsers send them, e.g. "https://chat.example.org"; "*": all;
  /// none: pages of this server's own origin alone.
  explicit cross_origin(std::vector<std::string> allowed);

  /// What every answer to a request with `origin` carries.
  header_list headers_for(const std::string& origin) const;

  /// The answer to a browser's question, if `head` is one. `methods`: those of
  /// the path, e.g. "POST". If it has none, whoever asks may come and hear
  /// that: to a page a refusal here looks as if nobody had answered.
  std::optional<reply> answer(const request_head& head,
                              std::string_view methods) const;

private:
  bool allows(const std::string& origin) const;

  const std::vector<std::string> allowed_;
};

/// Whether `text` may be an origin as browsers send it, or "*"; or why not
/// (errc::invalid_input). Schemes and hosts are the same in whatever case: of
/// apps some browsers say what their makers wrote ("Capacitor://localhost").
result<void> check_origin(const std::string& text);

/// Whether the body of `head` says that it is JSON. What any page may send to
/// any server without being asked is none: forms, plain text, no type at all.
/// Where no browser sends it, curl's form type and no type are taken for JSON.
bool has_json_type(const request_head& head);

} // namespace troupe::http
