#pragma once

namespace troupe {

/// Whether this program lets people break a running cluster: the option
/// TROUPE_FAULTS of the build. Without it no flag leads to a live fault.
bool has_live_faults();

} // namespace troupe
