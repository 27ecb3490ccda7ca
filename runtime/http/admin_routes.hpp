#pragma once

/// What is said on the admin socket.

#include "runtime/http/openai_error.hpp"
#include "runtime/log.hpp"
#include "runtime/service.hpp"

namespace troupe::http {

/// Of what the cluster consists and how it is. `trouble` empty: all is well.
std::string render_cluster(const service_info& info, const service_stats& stats,
                           const std::string& trouble);

/// What is broken on purpose.
std::string render_faults(const std::vector<std::string>& active);

/// {"level": "info"}
std::string render_log_level(log_level level);
parsed<log_level> parse_log_level_body(std::string_view body);

} // namespace troupe::http
