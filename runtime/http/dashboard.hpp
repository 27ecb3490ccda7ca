#pragma once

/// The page at /dashboard: it has no data of its own, but asks /cluster and
/// /cluster/experts of the server that it comes from, and nobody else.

#include "runtime/http/message.hpp"

namespace troupe::http {

/// HTML, with headers that let it speak to nobody else.
reply render_dashboard();

} // namespace troupe::http
