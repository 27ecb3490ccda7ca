#pragma once

/// The keys of config.json that say how positions turn, in both spellings:
/// rope_theta beside rope_scaling, and rope_parameters, which holds both.

#include "runtime/checkpoint/config.hpp"
#include "runtime/json/field_reader.hpp"

namespace troupe {

/// Reads them into `out`. What is wrong, or said twice and not alike, is
/// refused in `in`.
void read_rope(field_reader& in, model_config& out);

} // namespace troupe
